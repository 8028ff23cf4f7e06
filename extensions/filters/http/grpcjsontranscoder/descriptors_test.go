package grpcjsontranscoder

import (
	"os"
	"slices"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/genproto/googleapis/api/httpbody"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// types are those of the bookstore.
func types(t testing.TB) *dynamicpb.Types {
	t.Helper()
	var set descriptorpb.FileDescriptorSet
	if err := proto.Unmarshal(descriptors(t), &set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(&set)
	if err != nil {
		t.Fatal(err)
	}
	return dynamicpb.NewTypes(files)
}

// descriptors returns the FileDescriptorSet of testdata/bookstore.textproto, as protoc
// writes it with --include_imports.
func descriptors(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/bookstore.textproto")
	if err != nil {
		t.Fatal(err)
	}
	var own, all descriptorpb.FileDescriptorSet
	if err := prototext.Unmarshal(text, &own); err != nil {
		t.Fatal(err)
	}
	var add func(fd protoreflect.FileDescriptor)
	add = func(fd protoreflect.FileDescriptor) {
		if slices.ContainsFunc(all.File, func(f *descriptorpb.FileDescriptorProto) bool { return f.GetName() == fd.Path() }) {
			return
		}
		for i := range fd.Imports().Len() {
			add(fd.Imports().Get(i).FileDescriptor)
		}
		all.File = append(all.File, protodesc.ToFileDescriptorProto(fd))
	}
	add(annotations.File_google_api_annotations_proto)
	add(httpbody.File_google_api_httpbody_proto)
	add(timestamppb.File_google_protobuf_timestamp_proto)
	add(wrapperspb.File_google_protobuf_wrappers_proto)
	add(errdetails.File_google_rpc_error_details_proto)
	all.File = append(all.File, own.File...)
	data, err := proto.Marshal(&all)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
