// npm's oidc-provider on loopback, over TLS: `node provider.mjs MODULES PORT CERTIFICATE KEY AUTHORITY CHECKER_SECRET CLIENT_SECRET`.
//
// Each line of stdin is an object that changes something, and is answered by a line: `keys` (names and algorithms; the first one signs, and
// what is named for the first time is made), `clock` (seconds that it is ahead of the true one), `life` (seconds that access tokens live). It
// ends with its stdin.
import crypto from 'node:crypto';
import fs from 'node:fs';
import https from 'node:https';
import path from 'node:path';
import readline from 'node:readline';
import { pathToFileURL } from 'node:url';

const [modules, port, certificate, key, authority, checkerSecret, clientSecret] = process.argv.slice(2);

// What it says of its configuration is for who runs it in earnest; stdout has the answers alone.
console.info = console.warn = () => {};
const { Provider } = await import(pathToFileURL(path.join(modules, 'node_modules/oidc-provider/lib/index.js')));

const issuer = `https://localhost:${port}`;
const now = Date.now;
let ahead = 0;
Date.now = () => now() + ahead * 1000;
let life = 300;
let answer = (_request, response) => response.writeHead(503).end();

const kinds = {
  ES256: ['ec', { namedCurve: 'P-256' }], RS256: ['rsa', { modulusLength: 2048 }], PS256: ['rsa', { modulusLength: 2048 }],
  EdDSA: ['ed25519', {}],
};
const made = new Map();

function signer([kid, alg]) {
  if (!made.has(kid)) {
    const { privateKey } = crypto.generateKeyPairSync(...kinds[alg]);
    made.set(kid, { ...privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' });
  }
  return made.get(kid);
}

const secret = { token_endpoint_auth_method: 'client_secret_basic' };
const machine = {
  ...secret, client_secret: clientSecret, grant_types: ['client_credentials'], response_types: [], redirect_uris: [],
};
const clients = [
  { client_id: 'machine', ...machine },
  { client_id: 'proving', ...machine, dpop_bound_access_tokens: true },
  { client_id: 'certified', ...machine, tls_client_certificate_bound_access_tokens: true },
  {
    client_id: 'web', ...secret, client_secret: clientSecret, grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'], redirect_uris: ['https://app.example/back'],
  },
  // Asks about tokens, and gets none.
  { client_id: 'checker', ...machine, client_secret: checkerSecret },
];

// Where tokens may be used: what the checker verifies, and what it has to ask about.
const resources = {
  'https://api.example': { accessTokenFormat: 'jwt' },
  'https://opaque.example': { accessTokenFormat: 'opaque' },
};

function provider(keys) {
  const { alg, kid } = keys[0];
  const one = new Provider(issuer, {
    clients,
    clientDefaults: { id_token_signed_response_alg: alg },
    jwks: { keys },
    cookies: { keys: [clientSecret] },
    findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    enabledJWA: { dPoPSigningAlgValues: ['ES256'] },
    scopes: ['openid', 'offline_access', 'read', 'write'],
    features: {
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: (_context, client) => client.clientId === 'checker' },
      revocation: { enabled: true },
      dPoP: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        getCertificate: (context) => context.socket.getPeerX509Certificate(),
      },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, resource) => ({
          scope: 'read write', audience: resource, accessTokenTTL: life,
          jwt: { sign: { alg, kid } }, ...resources[resource],
        }),
      },
    },
  });
  one.on('server_error', (_context, error) => console.error(error));
  return one.callback();
}

const server = https.createServer({
  cert: fs.readFileSync(certificate), key: fs.readFileSync(key), ca: fs.readFileSync(authority),
  requestCert: true, rejectUnauthorized: false,
}, (request, response) => answer(request, response));
server.listen(Number(port), '127.0.0.1', () => console.log('ready'));

const lines = readline.createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const change = JSON.parse(line);
  if (change.clock !== undefined) ahead = change.clock;
  if (change.life !== undefined) life = change.life;
  if (change.keys) answer = provider(change.keys.map(signer));
  console.log('done');
});
lines.on('close', () => process.exit(0));
