package stats_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nuncio-proxy/nuncio/internal/observe/stats"
)

func extract(t *stats.Tags, name string) string {
	rest, tags := t.Extract(name)
	for _, tag := range tags {
		rest += fmt.Sprintf(" %s=%s", strings.TrimPrefix(tag.Name, "envoy."), tag.Value)
	}
	return rest
}

// TestDefaultTags has the names that the recording from Envoy lacks; their shapes are
// from its documentation.
func TestDefaultTags(t *testing.T) {
	tags, err := stats.NewTags(nil, true)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"plain":                                   "plain",
		"":                                        "",
		"cluster.ratelimit.upstream_rq_timeout":   "cluster.upstream_rq_timeout cluster_name=ratelimit",
		"cluster.c.upstream_rq_503":               "cluster.upstream_rq response_code=503 cluster_name=c",
		"cluster.c.upstream_rq_5xx":               "cluster.upstream_rq_xx response_code_class=5 cluster_name=c",
		"cluster.c":                               "cluster.c",
		"cluster.c.grpc.svc.method.success":       "cluster.grpc.success grpc_bridge_method=method grpc_bridge_service=svc cluster_name=c",
		"cluster.c.ssl.ciphers.AES256-SHA":        "cluster.ssl.ciphers ssl_cipher_suite=AES256-SHA cluster_name=c",
		"cluster.c.ssl.versions.TLSv1.3":          "cluster.ssl.versions ssl_version=TLSv1.3 cluster_name=c",
		"cluster.c.health_check.name.web.attempt": "cluster.health_check.attempt cluster_name=c health_check_name=web",
		"listener.127.0.0.1_3012.http.p.downstream_rq_5xx":              "listener.http.downstream_rq_xx response_code_class=5 http_conn_manager_prefix=p listener_address=127.0.0.1_3012",
		"listener.[__1]_0.ssl.ciphers.ECDHE-RSA":                        "listener.ssl.ciphers ssl_cipher=ECDHE-RSA listener_address=[__1]_0",
		"listener.named.worker_3.downstream_cx_total":                   "listener.worker_downstream_cx_total worker_id=3 listener_address=named",
		"listener.127.0.0.1_1.ssl.certificate.srv.expiration":           "listener.ssl.certificate.expiration tls_certificate=srv listener_address=127.0.0.1_1",
		"server.worker_12.watchdog_miss":                                "server.worker_watchdog_miss worker_id=12",
		"http.p.user_agent.ios.downstream_cx_total":                     "http.user_agent.downstream_cx_total http_user_agent=ios http_conn_manager_prefix=p",
		"http.p.fault.down.aborts_injected":                             "http.fault.aborts_injected fault_downstream_cluster=down http_conn_manager_prefix=p",
		"http.p.dynamodb.table.t.capacity.Query.__partition_id=ABC1234": "http.dynamodb.table.capacity dynamo_partition_id=ABC1234 dynamo_operation=Query dynamo_table=t http_conn_manager_prefix=p",
		"http.p.scoped_rds.a/b.update_success":                          "http.scoped_rds.update_success scoped_rds_config=a/b http_conn_manager_prefix=p",
		"mongo.m.collection.col.callsite.f.query.reply_size":            "mongo.collection.callsite.query.reply_size mongo_callsite=f mongo_collection=col mongo_prefix=m",
		"mongo.m.collection.col.query.multi_get":                        "mongo.collection.query.multi_get mongo_collection=col mongo_prefix=m",
		"mongo.m.cmd.foo.reply_size":                                    "mongo.cmd.reply_size mongo_cmd=foo mongo_prefix=m",
		"vhost.v.vcluster.c.upstream_rq_total":                          "vhost.vcluster.upstream_rq_total virtual_cluster=c virtual_host=v",
		"proxy_proto.versions.v1.found":                                 "proxy_proto.found proxy_protocol_prefix=versions proxy_protocol_version=1",
		"sds.my_cert.update_success":                                    "sds.update_success xds_resource_name=my_cert",
		"grpc.als.streams_total":                                        "grpc.streams_total google_grpc_client_prefix=als",
	} {
		if got := extract(tags, name); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
	}
}

func TestTagRules(t *testing.T) {
	regex := func(s string) *string { return &s }
	for _, tc := range []struct {
		rules    []stats.TagRule
		defaults bool
		name     string
		want     string // or the error
	}{
		{nil, false, "cluster.c.x", "cluster.c.x"},
		{[]stats.TagRule{{Name: "zone", Fixed: "z"}}, true, "cluster.c.x", "cluster.x zone=z cluster_name=c"},
		{[]stats.TagRule{{Name: "envoy.cluster_name", Regex: regex("")}}, false, "cluster.c.x", "cluster.x cluster_name=c"},
		{[]stats.TagRule{{Name: "host", Regex: regex(`\.((h\d)\.)`)}}, false, "a.h1.b", "a.b host=h1"},
		{[]stats.TagRule{{Name: "host", Regex: regex(`h\d`)}}, false, "", `stats_tags[0]: regex "h\\d" has no group`},
		{[]stats.TagRule{{Name: "host", Regex: regex(`(`)}}, false, "", "stats_tags[0]: error parsing regexp: missing closing ): `(`"},
		{[]stats.TagRule{{Name: "a"}, {Name: "a", Fixed: "b"}}, false, "", `stats_tags[1]: tag "a" is there twice`},
		{[]stats.TagRule{{Name: "a", Regex: regex("")}}, true, "", `stats_tags[0]: no regex, and no default extractor is named "a"`},
		// A rule's tag wins over the default of the same name.
		{[]stats.TagRule{{Name: "envoy.cluster_name", Regex: regex(`^cluster\.((c\.d)\.)`)}}, true, "cluster.c.d.x", "cluster.x cluster_name=c.d"},
	} {
		tags, err := stats.NewTags(tc.rules, tc.defaults)
		got := fmt.Sprint(err)
		if err == nil {
			got = extract(tags, tc.name)
		}
		if got != tc.want {
			t.Errorf("%v\ngot  %s\nwant %s", tc.rules, got, tc.want)
		}
	}
}

func FuzzExtract(f *testing.F) {
	for _, name := range []string{"cluster.c.upstream_rq_200", "mongo.m.collection.c.callsite.s.query.x", "..", "listener.[__1]_1.http.p.x", "rbac.rbac."} {
		f.Add(name)
	}
	tags, err := stats.NewTags(nil, true)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, name string) {
		rest, found := tags.Extract(name)
		if len(rest) > len(name) {
			t.Errorf("%q became longer: %q", name, rest)
		}
		for _, tag := range found {
			if !strings.Contains(name, tag.Value) {
				t.Errorf("%q has no %q", name, tag.Value)
			}
		}
		if again, more := tags.Extract(name); again != rest || !slices.Equal(more, found) {
			t.Errorf("%q gives %q or %q", name, rest, again)
		}
	})
}
