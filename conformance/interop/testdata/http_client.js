// Requests with Node's http, https and http2: http_client.js URL {1.1|2} [CA CERT KEY].
'use strict';
const assert = require('assert');
const fs = require('fs');
const http = require('http');
const http2 = require('http2');
const https = require('https');

// read resolves to the whole body of a stream.
async function read(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

// A client resolves a path and a body to a status, a version and a body.
function http1(url, tls) {
  const library = url.startsWith('https') ? https : http;
  const agent = new library.Agent({keepAlive: true, maxSockets: 10, ...tls});
  return {
    send: (path, body) => new Promise((resolve, reject) => {
      const request = library.request(url + path, {agent, method: body ? 'POST' : 'GET'}, async answer => {
        resolve({status: answer.statusCode, version: answer.httpVersion, body: await read(answer)});
      });
      request.on('error', reject);
      request.end(body);
    }),
    close: () => agent.destroy(),
  };
}

function http2Client(url, tls) {
  const session = http2.connect(url, tls);
  return {
    send: (path, body) => new Promise((resolve, reject) => {
      const stream = session.request({':path': path, ':method': body ? 'POST' : 'GET'});
      stream.on('error', reject);
      stream.on('response', async fields => {
        resolve({status: fields[':status'], version: '2', body: await read(stream)});
      });
      stream.end(body);
    }),
    close: () => session.close(),
  };
}

async function main(url, version, ...files) {
  const [ca, cert, key] = files.map(f => fs.readFileSync(f));
  const client = (version === '2' ? http2Client : http1)(url, {ca, cert, key});
  await Promise.all(Array.from({length: 50}, async () => {
    const answer = await client.send('/hello');
    assert.deepStrictEqual(answer, {status: 200, version, body: Buffer.from('hello')});
  }));
  const body = Buffer.alloc(1 << 20, 'nuncio');
  const answer = await client.send('/echo', body);
  assert.strictEqual(answer.status, 200);
  assert(answer.body.equals(body));
  client.close();
}

main(...process.argv.slice(2));
