package server

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/nuncio-proxy/nuncio/api/conf"
	"github.com/nuncio-proxy/nuncio/api/extension"
	"github.com/nuncio-proxy/nuncio/api/match"
	"github.com/nuncio-proxy/nuncio/api/matcher"
	"github.com/nuncio-proxy/nuncio/internal/addr"
	"github.com/nuncio-proxy/nuncio/internal/control/acme"
	"github.com/nuncio-proxy/nuncio/internal/control/bootstrap"
	"github.com/nuncio-proxy/nuncio/internal/control/runtimeconf"
	"github.com/nuncio-proxy/nuncio/internal/control/secret"
	"github.com/nuncio-proxy/nuncio/internal/format"
	"github.com/nuncio-proxy/nuncio/internal/l4/listener"
	"github.com/nuncio-proxy/nuncio/internal/l4/tlscontext"
	"github.com/nuncio-proxy/nuncio/internal/l7/filterchain"
	"github.com/nuncio-proxy/nuncio/internal/l7/hcm"
	"github.com/nuncio-proxy/nuncio/internal/l7/route"
	"github.com/nuncio-proxy/nuncio/internal/observe/accesslog"
	"github.com/nuncio-proxy/nuncio/internal/upstream/asyncclient"
	"github.com/nuncio-proxy/nuncio/internal/upstream/cluster"
)

// WriteParity writes docs/parity.md: which fields of which message are implemented,
// by the lists that the code itself refuses all others with.
func WriteParity(w io.Writer, factories []extension.Factory) error {
	fmt.Fprint(w, `# What of Envoy's configuration is implemented

This page is generated from the lists that the code checks a configuration against
(go test ./cmd/nuncio -update). A field that is not implemented is refused by name when it
is set; nothing is accepted and ignored.

## Extensions

| category | name | configuration |
|---|---|---|
`)
	all := slices.Concat([]extension.Factory{&hcm.Factory{}, filterchain.CodecFactory{}}, new(tlscontext.Contexts).Factories(), factories)
	slices.SortFunc(all, func(a, b extension.Factory) int {
		return strings.Compare(a.Category()+"/"+a.Name(), b.Category()+"/"+b.Name())
	})
	lists := slices.Concat(
		[]conf.Fields{bootstrap.Fields(), bootstrap.ExtensionFields(), adminFields, runtimeconf.Fields, accesslog.Fields(), format.Fields(), asyncclient.Fields()},
		addr.Fields(), match.Fields(), matcher.Fields(), listener.Fields(), route.Fields(), cluster.Fields(), hcm.AllFields(),
		tlscontext.Fields(), secret.Fields(), acme.Fields())
	for _, f := range all {
		fmt.Fprintf(w, "| %s | %s | %s |\n", f.Category(), f.Name(), f.Config().ProtoReflect().Descriptor().FullName())
		lists = append(lists, f.Fields()...)
	}
	slices.SortStableFunc(lists, func(a, b conf.Fields) int { return strings.Compare(title(a), title(b)) })
	lists = slices.CompactFunc(lists, func(a, b conf.Fields) bool { return title(a) == title(b) && slices.Equal(a.Names, b.Names) })
	fmt.Fprint(w, "\n## Messages\n")
	for i, list := range lists {
		if i > 0 && title(lists[i-1]) == title(list) {
			return fmt.Errorf("%s has two lists: say where each holds", title(list))
		}
		if err := writeFields(w, list); err != nil {
			return err
		}
	}
	return nil
}

func writeFields(w io.Writer, list conf.Fields) error {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(list.Message)
	if err != nil {
		return fmt.Errorf("%s: %w", list.Message, err)
	}
	message, ok := found.(protoreflect.MessageDescriptor)
	if !ok {
		return fmt.Errorf("%s is no message", list.Message)
	}
	implemented, missing, err := list.Split(message)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\n### %s\n\n", title(list))
	fmt.Fprintf(w, "Implemented (%d): %s\n", len(implemented), fieldList(implemented))
	if len(missing) > 0 {
		fmt.Fprintf(w, "\nRefused (%d): %s\n", len(missing), fieldList(missing))
	}
	return nil
}

func title(f conf.Fields) string {
	if f.Where == "" {
		return string(f.Message)
	}
	return string(f.Message) + " in " + f.Where
}

func fieldList(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return "`" + strings.Join(names, "`, `") + "`"
}
