import ts from 'typescript'

/** A regular expression of the sources. */
export type Expression = {
  readonly source: string
  readonly flags: string
  /** `file:line` */
  readonly place: string
}

export type Collected = {
  readonly expressions: readonly Expression[]
  /** The places of expressions that are built at run time and cannot be evaluated here. */
  readonly unreadable: readonly string[]
}

/** The initializer of the constant that an identifier names, in this file or another one. */
const initializerOf = (checker: ts.TypeChecker, name: ts.Identifier): ts.Expression | undefined => {
  const found = checker.getSymbolAtLocation(name)
  const isImport = found !== undefined && (found.flags & ts.SymbolFlags.Alias) !== 0
  const declaration = (isImport ? checker.getAliasedSymbol(found) : found)?.valueDeclaration
  if (declaration === undefined || !ts.isVariableDeclaration(declaration)) return undefined
  const isConstant = (ts.getCombinedNodeFlags(declaration) & ts.NodeFlags.Const) !== 0
  return isConstant ? declaration.initializer : undefined
}

/** The text of a constant expression: literals, templates and names of constants. */
const textOf = (checker: ts.TypeChecker, node: ts.Expression | undefined): string | undefined => {
  if (node === undefined) return undefined
  if (ts.isStringLiteralLike(node)) return node.text
  if (ts.isNumericLiteral(node)) return node.text
  if (ts.isIdentifier(node)) return textOf(checker, initializerOf(checker, node))
  if (!ts.isTemplateExpression(node)) return undefined
  let text = node.head.text
  for (const { expression, literal } of node.templateSpans) {
    const part = textOf(checker, expression)
    if (part === undefined) return undefined
    text += part + literal.text
  }
  return text
}

type Found = { readonly source: string | undefined; readonly flags: string | undefined }

const literalOf = (node: ts.RegularExpressionLiteral): Found => {
  const end = node.text.lastIndexOf('/')
  return { source: node.text.slice(1, end), flags: node.text.slice(end + 1) }
}

/** The regular expression that `node` makes, if any: a literal, `RegExp(…)`, or a `pattern` of a schema, which is compiled with `u`. */
const expressionAt = (checker: ts.TypeChecker, node: ts.Node): Found | undefined => {
  if (ts.isRegularExpressionLiteral(node)) return literalOf(node)
  if (ts.isNewExpression(node) || ts.isCallExpression(node)) {
    if (!ts.isIdentifier(node.expression) || node.expression.text !== 'RegExp') return undefined
    const [source, flags] = node.arguments ?? []
    if (source !== undefined && ts.isRegularExpressionLiteral(source)) return undefined
    return { source: textOf(checker, source), flags: flags ? textOf(checker, flags) : '' }
  }
  if (ts.isPropertyAssignment(node) && node.name.getText() === 'pattern') {
    return { source: textOf(checker, node.initializer), flags: 'u' }
  }
  return undefined
}

/** Every regular expression in these TypeScript files. */
export const collectExpressions = (files: readonly string[]): Collected => {
  const program = ts.createProgram(files, {
    module: ts.ModuleKind.NodeNext,
    target: ts.ScriptTarget.ESNext,
    allowImportingTsExtensions: true,
    noEmit: true,
    // Only names in our own files are looked up.
    types: [],
    noLib: true,
  })
  const checker = program.getTypeChecker()
  const expressions: Expression[] = []
  const unreadable: string[] = []
  for (const name of files) {
    const file = program.getSourceFile(name)
    if (file === undefined) throw new Error(`${name} cannot be read`)
    const visit = (node: ts.Node): void => {
      const found = expressionAt(checker, node)
      if (found !== undefined) {
        const { line } = file.getLineAndCharacterOfPosition(node.getStart())
        const place = `${name}:${line + 1}`
        const { source, flags } = found
        if (source === undefined || flags === undefined) unreadable.push(place)
        else expressions.push({ source, flags, place })
      }
      ts.forEachChild(node, visit)
    }
    visit(file)
  }
  return { expressions, unreadable }
}
