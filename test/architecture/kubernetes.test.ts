import { execFile } from 'node:child_process'
import { cp } from 'node:fs/promises'
import { promisify } from 'node:util'
import { Deployment } from 'kubernetes-models/apps/v1/Deployment'
import { Job } from 'kubernetes-models/batch/v1/Job'
import { Ingress } from 'kubernetes-models/networking.k8s.io/v1/Ingress'
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap'
import { Namespace } from 'kubernetes-models/v1/Namespace'
import { Secret } from 'kubernetes-models/v1/Secret'
import { Service } from 'kubernetes-models/v1/Service'
import { afterAll, describe, expect, test } from 'vitest'
import { parse, parseAllDocuments } from 'yaml'
import { codeBlock } from '../documentation/markdown.ts'
import { findProgram } from '../support/programs/find-program.ts'
import { scratchFolder } from '../support/programs/scratch-folder.ts'
import { compileObjects } from './compile-objects.ts'
import { knownVariables, loadDeployed } from './deployed-settings.ts'

const guide = 'docs/guides/run-on-kubernetes.md'

const models = {
  Deployment,
  Job,
  Ingress,
  NetworkPolicy,
  PodDisruptionBudget,
  ConfigMap,
  Namespace,
  Secret,
  Service,
}

// biome-ignore lint/suspicious/noExplicitAny: what kubectl rendered; the schemas judge it
type Manifest = any

const run = promisify(execFile)

const one = (kind: string): Manifest => {
  const found = manifests.filter((manifest) => manifest.kind === kind)
  if (found.length !== 1) throw new Error(`${found.length} manifests are a ${kind}`)
  return found[0]
}

/** As the guide says: a copy of the folder, the secrets, and what `kubectl apply --kustomize .` would send. */
const folder = await scratchFolder('kubernetes')
await cp('deploy/kubernetes', folder.path, { recursive: true })
await run('bash', ['-e', '-c', codeBlock(guide, 'openssl rand')], { cwd: folder.path })
const kubectl = await findProgram({
  name: 'kubectl',
  need: 'kubectl with kustomize',
  commands: ['kubectl'],
  unpacked: ['usr/bin/kubectl'],
  packages: ['kubernetes-client'],
  probe: ['kustomize', '--help'],
})
const { stdout } = await run(kubectl.path, ['kustomize', '.'], {
  cwd: folder.path,
  env: { ...kubectl.env, HOME: folder.path },
})
// Base64 is folded into lines, which Kubernetes takes and the schemas do not.
const manifests = parseAllDocuments(stdout).map((document) =>
  document.toJS({
    reviver: (_key, value) =>
      typeof value === 'string' && /^[A-Za-z0-9+/=\n]+$/.test(value)
        ? value.replaceAll('\n', '')
        : value,
  }),
)
manifests.push(parse(codeBlock(guide, 'kind: Ingress')))
afterAll(() => folder?.remove())

const podOf = (kind: 'Deployment' | 'Job'): Manifest => one(kind).spec.template.spec

const environmentOf = (kind: 'Deployment' | 'Job'): Record<string, string> => {
  const [container] = podOf(kind).containers
  const [{ configMapRef }] = container.envFrom
  expect(configMapRef.name).toBe(one('ConfigMap').metadata.name)
  const own: { name: string; value: string }[] = container.env
  return {
    ...one('ConfigMap').data,
    ...Object.fromEntries(own.map(({ name, value }) => [name, value])),
  }
}

describe('the manifests', () => {
  test('are objects of Kubernetes, each with fields that exist and values that fit', async () => {
    expect(manifests.map(({ kind }) => kind).toSorted()).toEqual([
      ...'ConfigMap Deployment Ingress Job Namespace NetworkPolicy'.split(' '),
      ...'PodDisruptionBudget Secret Secret Service'.split(' '),
    ])
    for (const { kind, ...manifest } of manifests) {
      const model = models[kind as keyof typeof models]
      expect(manifest.apiVersion, kind).toBe(model.apiVersion)
      expect(() => Reflect.construct(model, [manifest]).validate(), kind).not.toThrow()
    }
    // The schemas let unknown fields pass; the compiler does not.
    expect(await compileObjects(manifests)).toEqual([])
    const misspelt = { ...one('Service'), spec: { ...one('Service').spec, port: [] } }
    expect(await compileObjects([misspelt])).toHaveLength(1)
  })

  test('are all in one namespace, which takes only pods without special rights', () => {
    const { metadata } = one('Namespace')
    expect(metadata.labels['pod-security.kubernetes.io/enforce']).toBe('restricted')
    for (const manifest of manifests.filter(({ kind }) => kind !== 'Namespace')) {
      expect(manifest.metadata.namespace, manifest.kind).toBe(metadata.name)
    }
  })

  test.each(['Deployment', 'Job'] as const)(
    'R129: the %s runs without rights: what the restricted profile asks for, on a read-only file system, without a token of the cluster',
    (kind) => {
      const pod = podOf(kind)
      expect(pod.securityContext).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: 'RuntimeDefault' },
      })
      expect(pod).toMatchObject({ automountServiceAccountToken: false, enableServiceLinks: false })
      for (const { securityContext, resources } of pod.containers) {
        expect(securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        })
        expect(resources.limits.memory).toBeDefined()
      }
    },
  )

  test.each(['Deployment', 'Job'] as const)(
    'R129: the %s has settings that exist and start in production, and its secrets come as files',
    async (kind) => {
      const environment = environmentOf(kind)
      for (const name of Object.keys(environment)) expect(knownVariables).toContain(name)
      const config = await loadDeployed(guide, environment)
      expect(config.databaseUrl).toContain('cardea_app:')
      expect(config.migrateDatabaseUrl !== undefined).toBe(kind === 'Job')
      const pod = podOf(kind)
      const mounts: { name: string; mountPath: string }[] = pod.containers[0].volumeMounts
      for (const path of Object.values(environment).filter((value) => value.startsWith('/run/'))) {
        const mount = mounts.find(({ mountPath }) => path.startsWith(`${mountPath}/`))
        const volume = pod.volumes.find(({ name }: { name: string }) => name === mount?.name)
        const secret = manifests.find(
          ({ kind: of, metadata }) => of === 'Secret' && metadata.name === volume.secret.secretName,
        )
        expect(Object.keys(secret.data), path).toContain(path.split('/').at(-1))
      }
    },
  )

  test('the pods are found by the Service, the budget and the network rules, and the migration is no part of the service', () => {
    const { labels } = one('Deployment').spec.template.metadata
    const ofMigration = one('Job').spec.template.metadata.labels
    const selects = (selector: Record<string, string>, wanted: Record<string, string>) =>
      Object.entries(selector).every(([name, value]) => wanted[name] === value)
    for (const selector of [
      one('Deployment').spec.selector.matchLabels,
      one('Service').spec.selector,
      one('PodDisruptionBudget').spec.selector.matchLabels,
    ]) {
      expect([selects(selector, labels), selects(selector, ofMigration)]).toEqual([true, false])
    }
    const { podSelector, policyTypes } = one('NetworkPolicy').spec
    expect(policyTypes).toEqual(['Ingress', 'Egress'])
    expect(selects(podSelector.matchLabels, labels)).toBe(true)
    expect(selects(podSelector.matchLabels, ofMigration)).toBe(true)
  })

  test('the network rules let the Ingress in, and the pods out to the stores of the guide', async () => {
    const config = await loadDeployed(guide, environmentOf('Deployment'))
    const { ingress, egress } = one('NetworkPolicy').spec
    const [{ ports }] = podOf('Deployment').containers
    expect(ingress[0].ports[0].port).toBe(ports[0].containerPort)
    expect(ports[0].containerPort).toBe(config.port)
    const out = egress.flatMap((rule: Manifest) => rule.ports.map(({ port }: Manifest) => port))
    for (const url of [config.databaseUrl, config.redisUrl]) {
      expect(out).toContain(Number(new URL(url ?? '').port))
    }
    expect(out).toContain(53)
  })

  test('a pod drains: it is not ready before it refuses connections, and is not killed before it has finished', async () => {
    const { spec } = one('Deployment')
    const { shutdownDelaySeconds } = await loadDeployed(guide, environmentOf('Deployment'))
    const [{ readinessProbe, livenessProbe, startupProbe }] = spec.template.spec.containers
    expect(readinessProbe.httpGet.path).toBe('/health/ready')
    expect(livenessProbe.httpGet.path).toBe('/health/live')
    expect(startupProbe.httpGet.path).toBe('/health/live')
    expect(shutdownDelaySeconds).toBeGreaterThan(
      readinessProbe.periodSeconds * readinessProbe.failureThreshold,
    )
    // 15 s is how long a stop waits for requests under way.
    expect(spec.template.spec.terminationGracePeriodSeconds).toBeGreaterThan(
      shutdownDelaySeconds + 15,
    )
    expect(spec.strategy.rollingUpdate).toEqual({ maxUnavailable: 0, maxSurge: 1 })
    expect(spec.replicas).toBeGreaterThan(1)
  })
})
