import { execFile } from 'node:child_process'
import { appendFile, chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseEnv, promisify } from 'node:util'
import { codeBlock } from '../../test/documentation/markdown.ts'
import { run, startContainer } from './container.ts'
import { type Stage, see, stoppedWithinMs, told, untilReady } from './stage.ts'

/** Where the paths of the units lie here. */
type Places = { readonly opt: string; readonly etc: string }

const here = (text: string, { opt, etc }: Places): string =>
  text
    .replaceAll('/opt/cardea', opt)
    .replaceAll('/etc/cardea', etc)
    .replaceAll('/usr/bin/node', 'node')
    .replaceAll('%d', join(etc, 'owner'))

/** The command of a unit and its environment, without what systemd alone can do. */
const readUnit = async (file: string, places: Places) => {
  const text = here(await readFile(file, 'utf8'), places)
  const valuesOf = (key: string) =>
    [...text.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].map(([, value = '']) => value)
  const [command = ''] = valuesOf('ExecStart')
  const [settings = ''] = valuesOf('EnvironmentFile')
  const fromFile = Object.entries(parseEnv(here(await readFile(settings, 'utf8'), places)))
  const fromUnit = valuesOf('Environment').flatMap((line) =>
    line.split(' ').map((pair) => pair.split('=', 2)),
  )
  const env: Record<string, string> = Object.fromEntries([...fromUnit, ...fromFile])
  return { command: command.split(' '), env }
}

/** The second step of the guide, as printed but for places, and then with the secrets and stores of the rehearsal. */
const makeSettings = async (project: string, { etc }: Places, { secrets }: Stage) => {
  const page = join(project, 'docs/guides/run-with-systemd.md')
  const script = codeBlock(page, 'umask 027')
    .replaceAll('/etc/cardea/', `${etc}/`)
    .replaceAll('cd /etc/cardea', `cd ${etc}`)
    .replace('chgrp -R cardea . && ', '')
  await promisify(execFile)('bash', ['-e', '-c', script])
  for (const name of ['cardea_secret', 'password_pepper', 'database_url', 'redis_url']) {
    await copyFile(join(secrets.folder, name), join(etc, 'secrets', name))
  }
  const owner = 'migrate_database_url'
  await copyFile(join(secrets.folder, owner), join(etc, 'owner', owner))
  await appendFile(join(etc, 'cardea.env'), 'ALLOW_PLAINTEXT_STORES=true\n')
  // The user of the service here is in no group of its own.
  await promisify(execFile)('chmod', ['-R', 'a+rX', etc])
}

/** Runs what the units of deploy/systemd would run, with the settings that the guide makes: migration, service, command line. */
export const rehearseUnits = async (
  project: string,
  scratch: string,
  stage: Stage,
): Promise<void> => {
  const { image, port } = stage
  const places = { opt: join(image.root, 'app'), etc: join(scratch, 'etc') }
  await mkdir(places.etc)
  await makeSettings(project, places, stage)
  const { PATH = '' } = stage.settings
  const machine = { PATH, PORT: String(port) }
  const folder = join(project, 'deploy', 'systemd')
  const bare = { ...image, env: {} }

  const migration = await readUnit(join(folder, 'cardea-migrate.service'), places)
  const migrated = await run(bare, migration.command, { ...migration.env, ...machine })
  see('cardea-migrate.service migrates', migrated.code === 0, told(migrated))

  const unit = await readUnit(join(folder, 'cardea.service'), places)
  const service = startContainer({ ...bare, command: unit.command }, { ...unit.env, ...machine })
  try {
    await untilReady(`http://127.0.0.1:${port}`, service)
    see('cardea.service is ready', true)
    const command = join(scratch, 'cardea')
    await writeFile(command, here(await readFile(join(folder, 'cardea'), 'utf8'), places))
    await chmod(command, 0o755)
    const doctor = await run(bare, [command, 'doctor'], machine)
    see('the command beside it finds nothing wrong', doctor.code === 0, told(doctor))
  } finally {
    const code = await service.stop(stoppedWithinMs)
    see('SIGTERM ends it with 0', code === 0, String(code))
  }
}
