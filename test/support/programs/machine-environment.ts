/**
 * The environment of somebody who opens a new terminal: neither settings of Cardea nor what npm adds for a script it runs, so that `node` is
 * the machine's own and not the one of this project.
 */
export const machineEnvironment = (
  more: Readonly<Record<string, string>> = {},
): Record<string, string> => {
  const { PATH: path = '', HOME: home = '/' } = process.env
  const isOfNpm = (folder: string) => /node_modules\/\.bin$|node-gyp-bin$/.test(folder)
  const plain = path.split(':').filter((folder) => !isOfNpm(folder))
  return { PATH: plain.join(':'), HOME: home, ...more }
}
