// An authorization server that the Evertoken project did not write: the npm
// package @node-oauth/oauth2-server, whose handlers answer. What is added here is
// what it leaves to its users: routes, a login page, an API, and a model that keeps
// its rows in a file. The package has no revocation and no metadata.
//
// File descriptors 3 and 4 are the socket and the pipe that ends with the test, as
// in ../oidcprovider/server.mjs. The environment variable OPTIONS holds a JSON
// object:
//
//   redirectURL            where logins return to; the package compares all of it
//   secret                 the client's
//   accessTokenLifetime    seconds
//   rotate                 refresh tokens are for one use
//   state                  the file that outlives the server

import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Socket } from 'node:net';

import OAuth2Server from '@node-oauth/oauth2-server';

const { Request, Response, OAuthError } = OAuth2Server;
const options = JSON.parse(process.env.OPTIONS);

const client = {
  id: 'evertoken',
  grants: ['authorization_code', 'refresh_token'],
  redirectUris: [options.redirectURL],
};

// Rows of codes and tokens. Times are JSON strings in the file.
const asTime = (key, value) => (key.endsWith('xpiresAt') ? new Date(value) : value);
const rows = existsSync(options.state)
  ? JSON.parse(readFileSync(options.state, 'utf8'), asTime)
  : { codes: [], tokens: [] };
const save = () => {
  writeFileSync(`${options.state}.new`, JSON.stringify(rows));
  renameSync(`${options.state}.new`, options.state);
};
const add = (table, row) => {
  rows[table].push(row);
  save();
  return row;
};
const remove = (table, column, value) => {
  const before = rows[table].length;
  rows[table] = rows[table].filter((row) => row[column] !== value);
  save();
  return rows[table].length < before;
};
const find = (table, column, value) => rows[table].find((row) => row[column] === value);

const oauth = new OAuth2Server({
  accessTokenLifetime: options.accessTokenLifetime,
  alwaysIssueNewRefreshToken: options.rotate,
  model: {
    getClient: (id, secret) => (id === client.id && (secret === null || secret === options.secret) ? client : null),
    saveAuthorizationCode: (code, of, user) => add('codes', { ...code, client: of, user }),
    getAuthorizationCode: (code) => find('codes', 'authorizationCode', code),
    revokeAuthorizationCode: (code) => remove('codes', 'authorizationCode', code.authorizationCode),
    saveToken: (token, of, user) => add('tokens', { ...token, client: of, user }),
    getAccessToken: (token) => find('tokens', 'accessToken', token),
    getRefreshToken: (token) => find('tokens', 'refreshToken', token),
    revokeToken: (token) => remove('tokens', 'refreshToken', token.refreshToken),
  },
});

const page = `<!doctype html><title>Login</title><h1>Login</h1>
<form method="post"><input name="username" required> <button>Allow</button></form>`;

const routes = {
  'GET /authorize': async (req, res) => { Object.assign(res, { body: page, headers: { 'content-type': 'text/html' } }); },
  'POST /authorize': (req, res) => oauth.authorize(req, res, {
    authenticateHandler: { handle: (r) => ({ name: r.body.username }) },
  }),
  'POST /token': (req, res) => oauth.token(req, res),
  'GET /api': async (req, res) => { res.body = (await oauth.authenticate(req, res)).user; },
};

async function answer(incoming, outgoing) {
  let text = '';
  for await (const chunk of incoming) text += chunk;
  const url = new URL(incoming.url, 'http://127.0.0.1');
  const res = new Response();
  const route = routes[`${incoming.method} ${url.pathname}`];
  try {
    if (route) {
      await route(new Request({
        method: incoming.method,
        headers: incoming.headers,
        query: Object.fromEntries(url.searchParams),
        body: Object.fromEntries(new URLSearchParams(text)),
      }), res);
    } else {
      res.status = 404;
    }
  } catch (err) {
    if (!(err instanceof OAuthError)) throw err;
    if (!res.body?.error) res.status = err.code; // the API's handler leaves that to its users
  }
  const html = typeof res.body === 'string';
  outgoing.writeHead(res.status, html ? res.headers : { 'content-type': 'application/json', ...res.headers });
  outgoing.end(html ? res.body : JSON.stringify(res.body));
}

createServer((req, res) => answer(req, res).catch((err) => {
  console.error(err);
  res.destroy();
})).listen({ fd: 3 });

const lifeline = new Socket({ fd: 4 });
for (const event of ['end', 'error', 'close']) lifeline.on(event, () => process.exit(0));
lifeline.resume();
