// An OAuth 2.0 authorization server for tests and the demo: oidc-provider over TLS on loopback.
// Its settings, secrets among them, come from a file that only its owner reads; argv names that file alone.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { generateKeyPairSync, randomBytes, timingSafeEqual } from 'node:crypto';

import { Provider } from 'oidc-provider';
import MemoryAdapter from 'oidc-provider/lib/adapters/memory_adapter.js';

const given = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const clients = new Map();

function know(client) {
  clients.set(client.client_id, {
    client_id: client.client_id,
    client_secret: client.client_secret,
    grant_types: ['client_credentials', 'authorization_code', 'refresh_token'],
    response_types: ['code'],
    redirect_uris: ['https://client.invalid/callback'],
    token_endpoint_auth_method: client.method,
    scope: 'openid offline_access orders:read orders:write',
  });
}
given.clients.forEach(know);

class Adapter extends MemoryAdapter {
  constructor(name) {
    super(name);
    this.model = name;
  }

  async find(id) {
    return this.model === 'Client' ? clients.get(id) : super.find(id);
  }
}

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const provider = new Provider(given.issuer, {
  adapter: Adapter,
  clientAuthMethods: ['client_secret_basic', 'client_secret_post'],
  cookies: { keys: [randomBytes(32).toString('hex')] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    introspection: { enabled: true },
    revocation: { enabled: true },
  },
  findAccount: async (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig', kid: 'one' }] },
  enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
  clientDefaults: { id_token_signed_response_alg: 'ES256' },
  rotateRefreshToken: true,
  scopes: ['openid', 'offline_access', 'orders:read', 'orders:write'],
  ttl: {
    AccessToken: given.token_seconds,
    ClientCredentials: given.token_seconds,
    Grant: given.grant_seconds,
    RefreshToken: given.grant_seconds,
  },
});

async function refreshToken({ client_id: clientId }) {
  const grant = new provider.Grant({ accountId: 'alice', clientId });
  grant.addOIDCScope('openid offline_access');
  const grantId = await grant.save();
  const client = await provider.Client.find(clientId);
  const token = new provider.RefreshToken({
    accountId: 'alice', client, grantId, gty: 'authorization_code', scope: 'openid offline_access', claims: {},
    authTime: Math.floor(Date.now() / 1000),
  });
  return { refresh_token: await token.save() };
}

const ADMIN = {
  '/admin/refresh-token': refreshToken,
  '/admin/client': async (client) => { know(client); return {}; },
};

function isAdmin(request) {
  const shown = Buffer.from(request.headers['x-admin'] ?? '');
  const wanted = Buffer.from(given.admin);
  return shown.length === wanted.length && timingSafeEqual(shown, wanted);
}

async function administer(request, response) {
  let body = '';
  for await (const part of request) body += part;
  const answer = isAdmin(request) ? await ADMIN[request.url](JSON.parse(body)) : undefined;
  response.writeHead(answer ? 200 : 403, { 'content-type': 'application/json' });
  response.end(JSON.stringify(answer ?? {}));
}

const oauth = provider.callback();
const tls = { cert: readFileSync(given.certificate), key: readFileSync(given.key), minVersion: 'TLSv1.2' };
createServer(tls, (request, response) => {
  if (request.url in ADMIN) {
    administer(request, response).catch(() => { response.writeHead(500); response.end(); });
  } else {
    oauth(request, response);
  }
}).listen(given.port, '127.0.0.1');
