import type { Program } from './debian-packages.ts'
import { findProgram } from './find-program.ts'

/** Node reads certificates and makes none. */
export const findOpenssl = (): Promise<Program> =>
  findProgram({
    name: 'openssl',
    need: 'openssl',
    commands: ['openssl'],
    unpacked: ['usr/bin/openssl'],
    probe: ['version'],
    packages: ['openssl'],
    withDependencies: true,
  })
