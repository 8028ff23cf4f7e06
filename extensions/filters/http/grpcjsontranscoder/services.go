package grpcjsontranscoder

import (
	"fmt"
	"os"
	"strings"

	transcoderv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_json_transcoder/v3"
	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/nuncio-proxy/nuncio/api/conf"
)

// A rule is one HTTP binding of a gRPC method. It is immutable.
type rule struct {
	method    protoreflect.MethodDescriptor
	path      string // of the gRPC request
	variables []variable
	// body are the fields on the way to what the request's body becomes, none for the
	// whole message. response is the same for the body of the response.
	body, response fieldPath
	// rawRequest and rawResponse say that the body is a google.api.HttpBody, and as such
	// no JSON.
	rawRequest, rawResponse bool
}

// A fieldPath leads from a message to a field in one of its fields.
type fieldPath []protoreflect.FieldDescriptor

const httpBody = "google.api.HttpBody"

// addServices fills in what comes of the descriptors.
func addServices(cfg *settings, m *transcoderv3.GrpcJsonTranscoder, path conf.Path, errs *conf.Errors) {
	files := readDescriptors(m, path, errs)
	if files == nil {
		return
	}
	cfg.types = dynamicpb.NewTypes(files)
	for i, name := range m.GetServices() {
		at := path.Field("services").Index(i)
		d, _ := files.FindDescriptorByName(protoreflect.FullName(name))
		service, ok := d.(protoreflect.ServiceDescriptor)
		if !ok {
			errs.Add(at, "transcoding_filter: Could not find '%s' in the proto descriptor", name)
			continue
		}
		for k := range service.Methods().Len() {
			method := service.Methods().Get(k)
			if err := addMethod(&cfg.matcher, method, httpRule(method, m.GetAutoMapping())); err != nil {
				errs.Add(at, "transcoding_filter: Cannot register '%s': %v", method.FullName(), err)
			}
		}
	}
}

// readDescriptors returns the files of the descriptor set, nil if there is an error.
func readDescriptors(m *transcoderv3.GrpcJsonTranscoder, path conf.Path, errs *conf.Errors) *protoregistry.Files {
	var data []byte
	switch s := m.GetDescriptorSet().(type) {
	case *transcoderv3.GrpcJsonTranscoder_ProtoDescriptor:
		path = path.Field("proto_descriptor")
		var err error
		if data, err = os.ReadFile(s.ProtoDescriptor); err != nil {
			errs.Add(path, "%v", err)
			return nil
		}
	case *transcoderv3.GrpcJsonTranscoder_ProtoDescriptorBin:
		path, data = path.Field("proto_descriptor_bin"), s.ProtoDescriptorBin
	default:
		errs.Add(path, "transcoding_filter: descriptor not set")
		return nil
	}
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(data, &set); err != nil {
		errs.Add(path, "transcoding_filter: Unable to parse proto descriptor: %v", err)
		return nil
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		errs.Add(path, "transcoding_filter: Unable to build proto descriptor pool: %v", err)
		return nil
	}
	return files
}

// httpRule returns the rule of a method, an empty one if it has none.
func httpRule(method protoreflect.MethodDescriptor, auto bool) *annotations.HttpRule {
	options := method.Options()
	if proto.HasExtension(options, annotations.E_Http) {
		return proto.GetExtension(options, annotations.E_Http).(*annotations.HttpRule)
	}
	if !auto {
		return &annotations.HttpRule{}
	}
	return &annotations.HttpRule{Pattern: &annotations.HttpRule_Post{Post: grpcPath(method)}, Body: "*"}
}

func grpcPath(method protoreflect.MethodDescriptor) string {
	return "/" + string(method.Parent().FullName()) + "/" + string(method.Name())
}

// addMethod registers a method by its rule and those in it.
func addMethod(m *matcher, method protoreflect.MethodDescriptor, h *annotations.HttpRule) error {
	r := &rule{method: method, path: grpcPath(method)}
	var err error
	if r.body, r.rawRequest, err = resolveBody(method.Input(), h.GetBody()); err != nil {
		return err
	}
	if r.response, r.rawResponse, err = resolveBody(method.Output(), h.GetResponseBody()); err != nil {
		return err
	}
	if len(r.response) > 0 && !r.rawResponse {
		return fmt.Errorf(`Setting "response_body" is not supported yet for non-HttpBody fields: %s`, method.FullName())
	}
	if httpMethod, path := pattern(h); httpMethod != "" {
		t, err := parseTemplate(path)
		if err != nil {
			return fmt.Errorf("path %q: %w", path, err)
		}
		r.variables = t.variables
		m.register(httpMethod, t, r)
	}
	for _, more := range h.GetAdditionalBindings() {
		if err := addMethod(m, method, more); err != nil {
			return err
		}
	}
	return nil
}

// pattern returns the HTTP method and the path of a rule, nothing if it has none.
func pattern(h *annotations.HttpRule) (httpMethod, path string) {
	switch p := h.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		return "GET", p.Get
	case *annotations.HttpRule_Put:
		return "PUT", p.Put
	case *annotations.HttpRule_Post:
		return "POST", p.Post
	case *annotations.HttpRule_Delete:
		return "DELETE", p.Delete
	case *annotations.HttpRule_Patch:
		return "PATCH", p.Patch
	case *annotations.HttpRule_Custom:
		return p.Custom.GetKind(), p.Custom.GetPath()
	}
	return "", ""
}

// resolveBody returns the fields that a body option names, and whether they lead to an
// HttpBody.
func resolveBody(in protoreflect.MessageDescriptor, name string) (path fieldPath, raw bool, err error) {
	if name == "" || name == "*" {
		return nil, in.FullName() == httpBody, nil
	}
	path, err = resolve(in, strings.Split(name, "."))
	if err != nil {
		return nil, false, err
	}
	last := path[len(path)-1].Message()
	return path, last != nil && last.FullName() == httpBody, nil
}

// resolve returns the fields with these names, each in the message of the one before it.
func resolve(in protoreflect.MessageDescriptor, names []string) (fieldPath, error) {
	path := make(fieldPath, len(names))
	for i, name := range names {
		fd := findField(in, name)
		if fd == nil {
			return nil, fmt.Errorf("Could not find field %q in the type %q.", name, in.FullName())
		}
		path[i] = fd
		if in = fd.Message(); in == nil && i < len(names)-1 {
			return nil, fmt.Errorf("Encountered a non-leaf field %q that is not a message while parsing a field path", fd.Name())
		}
	}
	return path, nil
}

func findField(in protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	for _, name := range [...]string{name, unescape(name, unescapeAll, false)} {
		if fd := in.Fields().ByName(protoreflect.Name(name)); fd != nil {
			return fd
		}
		if fd := in.Fields().ByJSONName(name); fd != nil {
			return fd
		}
	}
	return nil
}
