"""An OTLP receiver: takes traces by gRPC and by HTTP, and writes each span as a line of JSON.

    collector.py GRPC_PORT HTTP_PORT FILE [CERTIFICATE KEY [AUTHORITY]]

With a certificate both speak TLS; with an authority clients must bring a certificate that it has signed. The messages are those of the package `opentelemetry-proto`, the gRPC server is `grpcio`'s: nothing here is the host's own.
"""

import json
import ssl
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1 import trace_pb2

LOCK = threading.Lock()


def value(any_value):
    kind = any_value.WhichOneof("value")
    return getattr(any_value, kind) if kind else None


def attributes(pairs):
    return {pair.key: value(pair.value) for pair in pairs}


def lines(request, way, headers):
    for of_resource in request.resource_spans:
        resource = attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield {
                    "way": way,
                    "headers": headers,
                    "resource": resource,
                    "scope": of_scope.scope.name,
                    "name": span.name,
                    "kind": trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
                    "trace": span.trace_id.hex(),
                    "span": span.span_id.hex(),
                    "parent": span.parent_span_id.hex(),
                    "begin": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "attributes": attributes(span.attributes),
                    "links": [{"trace": link.trace_id.hex(), "span": link.span_id.hex()} for link in span.links],
                    "error": span.status.message if span.status.code == trace_pb2.Status.STATUS_CODE_ERROR else None,
                }


def keep(request, way, headers):
    with LOCK, open(sys.argv[3], "a", encoding="utf-8") as file:
        for line in lines(request, way, headers):
            file.write(json.dumps(line) + "\n")


class Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        headers = {key: text for key, text in context.invocation_metadata() if isinstance(text, str)}
        keep(request, "grpc", headers)
        return trace_service_pb2.ExportTraceServiceResponse()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        found = self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf"
        if found:
            request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
            keep(request, "http", {key.lower(): text for key, text in self.headers.items()})
        answer = trace_service_pb2.ExportTraceServiceResponse().SerializeToString()
        self.send_response(200 if found else 404)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        # A client that does not trust the certificate, or has none, is let go of.
        pass


def read(file):
    with open(file, "rb") as opened:
        return opened.read()


def grpc_credentials(certificate, key, authority=None):
    pair = [(read(key), read(certificate))]
    return grpc.ssl_server_credentials(pair, authority and read(authority), require_client_auth=authority is not None)


def http_context(certificate, key, authority=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if authority:
        context.load_verify_locations(authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def main():
    grpc_port, http_port, _, *tls = sys.argv[1:]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)
    web = Server(("127.0.0.1", int(http_port)), Handler)
    if tls:
        server.add_secure_port(f"127.0.0.1:{grpc_port}", grpc_credentials(*tls))
        # The handshake is the matter of the connection's own thread.
        web.socket = http_context(*tls).wrap_socket(web.socket, server_side=True, do_handshake_on_connect=False)
    else:
        server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    server.start()
    web.serve_forever()


main()
