/** Owns what OAuth clients ask of the service. So far: how it describes itself. */
export { metadataRoutes } from './routes.ts'
