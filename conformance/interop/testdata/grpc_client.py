"""The gRPC interop cases, with C-core: grpc_client.py ADDRESS CASES [CA CERT KEY].

https://github.com/grpc/grpc/blob/master/doc/interop-test-descriptions.md
"""
import os
import queue
import sys

import grpc

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
pb, services = grpc.protos_and_services("interop.proto")

REQUESTS = [27182, 8, 1828, 45904]
RESPONSES = [31415, 9, 2653, 58979]
INITIAL, TRAILING = "x-grpc-test-echo-initial", "x-grpc-test-echo-trailing-bin"
METADATA = ((INITIAL, "test_initial_metadata_value"), (TRAILING, b"\x0a\x0b\x0a\x0b\x0a\x0b"))


def expect(got, want):
    if got != want:
        raise AssertionError(f"got {got!r}, want {want!r}")


def payload(size):
    return pb.Payload(body=bytes(size))


def output_request(response, request=None):
    r = pb.StreamingOutputCallRequest(response_parameters=[pb.ResponseParameters(size=response)])
    if request is not None:
        r.payload.CopyFrom(payload(request))
    return r


def failure(call):
    """The status with which a call fails."""
    try:
        call()
    except grpc.RpcError as e:
        return e.code(), e.details()
    raise AssertionError("the call succeeds")


class Pipe:
    """Requests of a stream that are sent one by one."""

    def __init__(self):
        self.queue = queue.Queue()
        self.requests = iter(self.queue.get, None)

    def send(self, request):
        self.queue.put(request)

    def close(self):
        self.queue.put(None)


class Cases:
    def __init__(self, channel):
        self.test = services.TestServiceStub(channel)
        self.unknown = services.UnimplementedServiceStub(channel)

    def empty_unary(self):
        expect(self.test.EmptyCall(pb.Empty()), pb.Empty())

    def large_unary(self):
        answer = self.test.UnaryCall(pb.SimpleRequest(response_size=314159, payload=payload(271828)))
        expect(answer.payload.body, bytes(314159))

    def client_streaming(self):
        answer = self.test.StreamingInputCall(pb.StreamingInputCallRequest(payload=payload(n)) for n in REQUESTS)
        expect(answer.aggregated_payload_size, sum(REQUESTS))

    def server_streaming(self):
        request = pb.StreamingOutputCallRequest(response_parameters=[pb.ResponseParameters(size=n) for n in RESPONSES])
        expect([len(a.payload.body) for a in self.test.StreamingOutputCall(request)], RESPONSES)

    def ping_pong(self):
        pipe = Pipe()
        call = self.test.FullDuplexCall(pipe.requests)
        for request, response in zip(REQUESTS, RESPONSES):
            pipe.send(output_request(response, request))
            expect(len(next(call).payload.body), response)
        pipe.close()
        expect(list(call), [])

    def empty_stream(self):
        expect(list(self.test.FullDuplexCall(iter(()))), [])

    def timeout_on_sleeping_server(self):
        # Longer than the 1 ms of the description, in which nothing would be sent.
        pipe = Pipe()
        call = self.test.FullDuplexCall(pipe.requests, timeout=0.1)
        pipe.send(pb.StreamingOutputCallRequest(payload=payload(27182)))
        expect(failure(lambda: next(call))[0], grpc.StatusCode.DEADLINE_EXCEEDED)
        pipe.close()

    def cancel_after_begin(self):
        pipe = Pipe()
        call = self.test.StreamingInputCall.future(pipe.requests)
        call.cancel()
        expect((call.cancelled(), call.code()), (True, grpc.StatusCode.CANCELLED))
        pipe.close()

    def cancel_after_first_response(self):
        pipe = Pipe()
        call = self.test.FullDuplexCall(pipe.requests)
        pipe.send(output_request(31415, 27182))
        expect(len(next(call).payload.body), 31415)
        call.cancel()
        expect(failure(lambda: next(call))[0], grpc.StatusCode.CANCELLED)
        pipe.close()

    def status_code_and_message(self):
        status = pb.EchoStatus(code=2, message="test status message")
        want = (grpc.StatusCode.UNKNOWN, status.message)
        expect(failure(lambda: self.test.UnaryCall(pb.SimpleRequest(response_status=status))), want)
        request = pb.StreamingOutputCallRequest(response_status=status)
        expect(failure(lambda: list(self.test.FullDuplexCall(iter([request])))), want)

    def special_status_message(self):
        message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
        request = pb.SimpleRequest(response_status=pb.EchoStatus(code=2, message=message))
        expect(failure(lambda: self.test.UnaryCall(request)), (grpc.StatusCode.UNKNOWN, message))

    def custom_metadata(self):
        _, call = self.test.UnaryCall.with_call(pb.SimpleRequest(response_size=1, payload=payload(1)), metadata=METADATA)
        self.echoed(call)
        call = self.test.FullDuplexCall(iter([output_request(1, 1)]), metadata=METADATA)
        expect(len(list(call)), 1)
        self.echoed(call)

    def echoed(self, call):
        expect([m.value for m in call.initial_metadata() if m.key == INITIAL], [METADATA[0][1]])
        expect([m.value for m in call.trailing_metadata() if m.key == TRAILING], [METADATA[1][1]])

    def unimplemented_method(self):
        expect(failure(lambda: self.test.UnimplementedCall(pb.Empty()))[0], grpc.StatusCode.UNIMPLEMENTED)

    def unimplemented_service(self):
        expect(failure(lambda: self.unknown.UnimplementedCall(pb.Empty()))[0], grpc.StatusCode.UNIMPLEMENTED)

    def rpc_soak(self):
        for _ in range(100):
            self.large_unary()


def channel(address, files):
    if not files:
        return grpc.insecure_channel(address)
    ca, certificate, key = (open(f, "rb").read() for f in files)
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(ca, key, certificate))


def main(address, cases, *files):
    failed = False
    with channel(address, files) as c:
        known = Cases(c)
        for name in cases.split(","):
            try:
                getattr(known, name)()
                print("ok", name)
            except (AssertionError, grpc.RpcError, StopIteration) as e:
                print("FAILED", name, repr(e))
                failed = True
    sys.exit(failed)


main(*sys.argv[1:])
