// An MCP server of the official TypeScript SDK behind the SDK's own authorization router, for
// TestTypeScriptServer. Its provider, which the SDK leaves to programs, rotates refresh
// tokens, and ends a session whose refresh token comes twice.
//
//   node server.mjs '{"resource": true, "challenge": true, "expiresIn": true}'
//
// It prints its address. resource says whether the router is told the MCP server's address,
// challenge whether the middleware names the metadata in its challenge, expiresIn whether
// answers tell when a token ends. /test/… is for the test.
import { createHash, randomUUID } from 'node:crypto'
import express from 'express'
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js'
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js'
import { isInitializeRequest } from '@modelcontextprotocol/sdk/types.js'
import { getOAuthProtectedResourceMetadataUrl, mcpAuthRouter } from '@modelcontextprotocol/sdk/server/auth/router.js'
import { requireBearerAuth } from '@modelcontextprotocol/sdk/server/auth/middleware/bearerAuth.js'
import { InvalidGrantError, InvalidTokenError } from '@modelcontextprotocol/sdk/server/auth/errors.js'

const shape = JSON.parse(process.argv[2] ?? '{}')
const counts = { registrations: 0, refreshes: 0, reuses: 0 }
const hour = 3600

class Provider {
  clients = new Map()
  codes = new Map()
  access = new Map() // token: its session
  refresh = new Map() // token: its session
  spent = new Map() // token: its session

  get clientsStore() {
    return {
      getClient: (id) => this.clients.get(id),
      registerClient: (client) => {
        counts.registrations++
        this.clients.set(client.client_id, client)
        return client
      },
    }
  }

  async authorize(client, params, res) {
    const code = randomUUID()
    this.codes.set(code, { client, params })
    const back = new URL(params.redirectUri)
    back.searchParams.set('code', code)
    if (params.state !== undefined) back.searchParams.set('state', params.state)
    res.redirect(back.href)
  }

  async challengeForAuthorizationCode(_client, code) {
    const known = this.codes.get(code)
    if (!known) throw new InvalidGrantError('no such code')
    return known.params.codeChallenge
  }

  async exchangeAuthorizationCode(client, code, _verifier, redirectUri) {
    const known = this.codes.get(code)
    this.codes.delete(code)
    if (!known || known.client.client_id !== client.client_id || (redirectUri && redirectUri !== known.params.redirectUri)) {
      throw new InvalidGrantError('no such code')
    }
    return this.issue({ id: randomUUID(), client: client.client_id, scopes: known.params.scopes ?? [], resource: known.params.resource })
  }

  async exchangeRefreshToken(client, token) {
    counts.refreshes++
    const session = this.refresh.get(token)
    if (!session || session.client !== client.client_id) {
      const stolen = this.spent.get(token)
      if (stolen) {
        counts.reuses++
        this.end((other) => other.id === stolen.id)
      }
      throw new InvalidGrantError('no such refresh token')
    }
    this.refresh.delete(token)
    this.spent.set(token, session)
    return this.issue(session)
  }

  issue(session) {
    const access = randomUUID()
    const refresh = randomUUID()
    this.access.set(access, session)
    this.refresh.set(refresh, session)
    return {
      access_token: access,
      token_type: 'bearer',
      refresh_token: refresh,
      scope: session.scopes.join(' '),
      ...(shape.expiresIn ? { expires_in: hour } : {}),
    }
  }

  async verifyAccessToken(token) {
    const session = this.access.get(token)
    if (!session) throw new InvalidTokenError('no such token')
    return { token, clientId: session.client, scopes: session.scopes, expiresAt: Math.floor(Date.now() / 1000) + hour }
  }

  async revokeToken(_client, { token }) {
    const session = this.refresh.get(token) ?? this.access.get(token)
    if (session) this.end((other) => other.id === session.id)
  }

  end(which) {
    for (const tokens of [this.access, this.refresh]) {
      for (const [token, session] of tokens) if (which(session)) tokens.delete(token)
    }
  }
}

const provider = new Provider()
const app = express()
const listener = app.listen(0, '127.0.0.1', () => {
  const origin = new URL(`http://127.0.0.1:${listener.address().port}`)
  const endpoint = new URL('/mcp', origin)
  app.use(mcpAuthRouter({
    provider,
    issuerUrl: origin,
    scopesSupported: ['tools'],
    ...(shape.resource ? { resourceServerUrl: endpoint } : {}),
  }))
  const guard = requireBearerAuth({
    verifier: provider,
    ...(shape.challenge ? { resourceMetadataUrl: getOAuthProtectedResourceMetadataUrl(shape.resource ? endpoint : origin) } : {}),
  })
  app.all('/mcp', guard, express.json(), serve)
  app.post('/test/expire', (_req, res) => { provider.access.clear(); res.end() })
  app.post('/test/end', (_req, res) => { provider.end(() => true); res.end() })
  app.get('/test/counts', (_req, res) => { res.json({ ...counts, sessions: new Set([...provider.refresh.values()]).size }) })
  console.log(endpoint.href)
})

const transports = new Map()

// serve keeps a transport for each session of the protocol.
async function serve(req, res) {
  const id = req.headers['mcp-session-id']
  let transport = transports.get(id)
  if (!transport) {
    if (!isInitializeRequest(req.body)) {
      res.status(id ? 404 : 400).json({ jsonrpc: '2.0', error: { code: -32000, message: 'no such session' }, id: null })
      return
    }
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (begun) => { transports.set(begun, transport) },
    })
    const server = new McpServer({ name: 'typescript', version: '1' })
    server.registerTool('hash', { description: 'hashes nothing' }, async () => ({
      content: [{ type: 'text', text: createHash('sha256').update('').digest('hex') }],
    }))
    await server.connect(transport)
  }
  await transport.handleRequest(req, res, req.body)
}

process.stdin.on('end', () => process.exit(0)).resume() // with the test
