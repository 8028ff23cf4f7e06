// The gRPC interop cases, with grpc-js: grpc_client.js ADDRESS CASES [CA CERT KEY].
// https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md
'use strict';
const assert = require('assert');
const fs = require('fs');
const path = require('path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const pb = grpc.loadPackageDefinition(loader.loadSync(path.join(__dirname, 'interop.proto'), {keepCase: true})).grpc.testing;

const requests = [27182, 8, 1828, 45904];
const responses = [31415, 9, 2653, 58979];
const initial = 'x-grpc-test-echo-initial', initialValue = 'test_initial_metadata_value';
const trailing = 'x-grpc-test-echo-trailing-bin', trailingValue = Buffer.from('0a0b0a0b0a0b', 'hex');

const payload = size => ({body: Buffer.alloc(size)});
const outputRequest = (response, request) => ({response_parameters: [{size: response}], payload: payload(request)});

// unary calls a method with one answer. It resolves to {answer, initial, trailing}, or rejects with the status.
function unary(client, method, request, metadata = new grpc.Metadata()) {
  return new Promise((resolve, reject) => {
    const out = {};
    const call = client[method](request, metadata, (err, answer) => { out.answer = answer; out.err = err; });
    call.on('metadata', m => { out.initial = m; });
    call.on('status', s => {
      out.trailing = s.metadata;
      out.err ? reject(out.err) : resolve(out);
    });
  });
}

// received resolves to {answers, initial, trailing} at the end of a stream, or rejects with its status.
function received(call, onAnswer = () => {}) {
  return new Promise((resolve, reject) => {
    const out = {answers: []};
    call.on('metadata', m => { out.initial = m; });
    call.on('data', a => { out.answers.push(a.payload.body.length); onAnswer(out.answers.length); });
    call.on('error', reject);
    call.on('status', s => { out.trailing = s.metadata; if (s.code === 0) resolve(out); });
  });
}

const failsWith = (promise, code, details) => assert.rejects(promise, err => {
  assert.strictEqual(err.code, code);
  if (details !== undefined) assert.strictEqual(err.details, details);
  return true;
});

function metadata() {
  const m = new grpc.Metadata();
  m.set(initial, initialValue);
  m.set(trailing, trailingValue);
  return m;
}

function echoed(out) {
  assert.deepStrictEqual(out.initial.get(initial), [initialValue]);
  assert.deepStrictEqual(out.trailing.get(trailing), [trailingValue]);
}

const cases = {
  async empty_unary({test}) {
    assert.deepStrictEqual({...(await unary(test, 'EmptyCall', {})).answer}, {});
  },
  async large_unary({test}) {
    const {answer} = await unary(test, 'UnaryCall', {response_size: 314159, payload: payload(271828)});
    assert.strictEqual(answer.payload.body.length, 314159);
  },
  async client_streaming({test}) {
    const answer = await new Promise((resolve, reject) => {
      const call = test.StreamingInputCall((err, a) => err ? reject(err) : resolve(a));
      for (const n of requests) call.write({payload: payload(n)});
      call.end();
    });
    assert.strictEqual(answer.aggregated_payload_size, requests.reduce((a, b) => a + b));
  },
  async server_streaming({test}) {
    const call = test.StreamingOutputCall({response_parameters: responses.map(size => ({size}))});
    assert.deepStrictEqual((await received(call)).answers, responses);
  },
  async ping_pong({test}) {
    const call = test.FullDuplexCall();
    const send = i => i < requests.length ? call.write(outputRequest(responses[i], requests[i])) : call.end();
    const done = received(call, send);
    send(0);
    assert.deepStrictEqual((await done).answers, responses);
  },
  async empty_stream({test}) {
    const call = test.FullDuplexCall();
    call.end();
    assert.deepStrictEqual((await received(call)).answers, []);
  },
  async timeout_on_sleeping_server({test}) {
    // Longer than the 1 ms of the description, in which nothing would be sent.
    const call = test.FullDuplexCall({deadline: Date.now() + 100});
    call.write({payload: payload(27182)});
    await failsWith(received(call), grpc.status.DEADLINE_EXCEEDED);
  },
  async cancel_after_begin({test}) {
    await failsWith(new Promise((resolve, reject) => {
      test.StreamingInputCall((err, a) => err ? reject(err) : resolve(a)).cancel();
    }), grpc.status.CANCELLED);
  },
  async cancel_after_first_response({test}) {
    const call = test.FullDuplexCall();
    const done = received(call, () => call.cancel());
    call.write(outputRequest(31415, 27182));
    await failsWith(done, grpc.status.CANCELLED);
  },
  async status_code_and_message({test}) {
    const response_status = {code: 2, message: 'test status message'};
    await failsWith(unary(test, 'UnaryCall', {response_status}), 2, response_status.message);
    const call = test.FullDuplexCall();
    call.end({response_status});
    await failsWith(received(call), 2, response_status.message);
  },
  async special_status_message({test}) {
    const message = '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n';
    await failsWith(unary(test, 'UnaryCall', {response_status: {code: 2, message}}), 2, message);
  },
  async custom_metadata({test}) {
    echoed(await unary(test, 'UnaryCall', {response_size: 1, payload: payload(1)}, metadata()));
    const call = test.FullDuplexCall(metadata());
    call.end(outputRequest(1, 1));
    const out = await received(call);
    assert.deepStrictEqual(out.answers, [1]);
    echoed(out);
  },
  async unimplemented_method({test}) {
    await failsWith(unary(test, 'UnimplementedCall', {}), grpc.status.UNIMPLEMENTED);
  },
  async unimplemented_service({unknown}) {
    await failsWith(unary(unknown, 'UnimplementedCall', {}), grpc.status.UNIMPLEMENTED);
  },
  async rpc_soak(clients) {
    for (let i = 0; i < 100; i++) await cases.large_unary(clients);
  },
};

async function main(address, names, ...files) {
  const [ca, certificate, key] = files.map(f => fs.readFileSync(f));
  const credentials = ca ? grpc.credentials.createSsl(ca, key, certificate) : grpc.credentials.createInsecure();
  const clients = {test: new pb.TestService(address, credentials), unknown: new pb.UnimplementedService(address, credentials)};
  for (const name of names.split(',')) {
    try {
      await cases[name](clients);
      console.log('ok', name);
    } catch (err) {
      console.log('FAILED', name, err);
      process.exitCode = 1;
    }
  }
  process.exit(); // cancelled calls would keep it running
}

main(...process.argv.slice(2));
