// An authorization server that the Evertoken project did not write: the npm
// package oidc-provider, with its development login pages.
//
// The test that starts it opens the socket and passes it as file descriptor 3, so
// neither side has to guess a port. File descriptor 4 is a pipe that ends when the test
// does, however that comes about; the server ends with it. The environment
// variable OPTIONS holds a JSON object:
//
//   issuer                 the origin that the socket listens on (required)
//   accessTokenLifetime    seconds (900)
//   refreshTokenLifetime   seconds (86400)
//   alwaysRefreshToken     give a refresh token to logins without offline_access (false)
//   keepRefreshToken       do not rotate refresh tokens (false)
//   secret                 secret of the confidential client ("secret")
//   nonces                 what wants nonces in DPoP proofs: "refresh", "everything" (nothing)
//   keys                   public keys (JWK) by algorithm: of clients evertoken-ALGORITHM ({})
//
// GET /events returns what the server has done, for assertions.

import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { Socket } from 'node:net';

import Provider from 'oidc-provider';

const deviceGrant = 'urn:ietf:params:oauth:grant-type:device_code';
const options = {
  accessTokenLifetime: 900,
  refreshTokenLifetime: 86400,
  alwaysRefreshToken: false,
  keepRefreshToken: false,
  secret: 'secret',
  nonces: '',
  keys: {},
  ...JSON.parse(process.env.OPTIONS),
};

const nativeClient = {
  application_type: 'native',
  token_endpoint_auth_method: 'none',
  grant_types: ['authorization_code', 'refresh_token', deviceGrant],
  response_types: ['code'],
  redirect_uris: ['http://127.0.0.1/callback'],
};

const provider = new Provider(options.issuer, {
  clients: [
    { ...nativeClient, client_id: 'evertoken-cli' },
    { ...nativeClient, client_id: 'evertoken-pushed', require_pushed_authorization_requests: true },
    ...Object.entries(options.keys).map(([alg, key]) => ({
      ...nativeClient,
      client_id: `evertoken-${alg}`,
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: alg,
      jwks: { keys: [key] },
    })),
    {
      client_id: 'evertoken-service',
      client_secret: options.secret,
      token_endpoint_auth_method: 'client_secret_basic',
      grant_types: ['client_credentials'],
      response_types: [],
      redirect_uris: [],
    },
  ],
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    revocation: { enabled: true },
    introspection: { enabled: true },
    clientCredentials: { enabled: true },
    pushedAuthorizationRequests: { enabled: true },
    dPoP: {
      enabled: true,
      nonceSecret: options.nonces ? randomBytes(32) : undefined,
      requireNonce: (ctx) => options.nonces === 'everything'
        || (options.nonces === 'refresh' && ctx.oidc.params?.grant_type === 'refresh_token'),
    },
  },
  enabledJWA: { clientAuthSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'] },
  rotateRefreshToken: !options.keepRefreshToken,
  issueRefreshToken: (ctx, client, code) => client.grantTypeAllowed('refresh_token')
    && (options.alwaysRefreshToken || code.scopes.has('offline_access')),
  expiresWithSession: () => false,
  ttl: {
    AccessToken: options.accessTokenLifetime,
    ClientCredentials: options.accessTokenLifetime,
    RefreshToken: options.refreshTokenLifetime,
  },
  cookies: { keys: ['no secret: a server for tests'] },
});

const events = { refreshes: 0, refused: [], revokedGrants: 0 };
provider.on('grant.success', (ctx) => {
  if (ctx.oidc.params.grant_type === 'refresh_token') events.refreshes += 1;
});
provider.on('grant.error', (ctx, err) => {
  if (err.error !== 'authorization_pending') events.refused.push(`${ctx.oidc.params.grant_type}: ${err.error}`);
});
provider.on('grant.revoked', () => { events.revokedGrants += 1; });
provider.on('server_error', (ctx, err) => console.error(err));

const answer = provider.callback();
const server = createServer((req, res) => {
  if (req.url === '/events') {
    res.setHeader('content-type', 'application/json');
    res.end(JSON.stringify(events));
    return;
  }
  answer(req, res);
});
server.listen({ fd: 3 });

const lifeline = new Socket({ fd: 4 });
for (const event of ['end', 'error', 'close']) lifeline.on(event, () => process.exit(0));
lifeline.resume();
