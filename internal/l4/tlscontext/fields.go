package tlscontext

import "github.com/nuncio-proxy/nuncio/api/conf"

const prefix = "envoy.extensions.transport_sockets.tls.v3."

// What is refused, and why: signature_algorithms and compliance_policies cannot be told to
// crypto/tls (it does not let choose signatures, nor the ciphers of TLS 1.3);
// allow_renegotiation needs a second handshake, for which a socket does not wait; the rest
// are extensions that do not exist here.
var (
	paramsFields = conf.Fields{
		Message: prefix + "TlsParameters",
		Names:   []string{"tls_minimum_protocol_version", "tls_maximum_protocol_version", "cipher_suites", "ecdh_curves"},
	}
	certificateFields = conf.Fields{
		Message: prefix + "TlsCertificate",
		// watched_directory is for certificates of secrets.
		Names: []string{"certificate_chain", "private_key", "pkcs12", "password", "ocsp_staple", "tls_params", "watched_directory"},
	}
	validationFields = conf.Fields{
		Message: prefix + "CertificateValidationContext",
		Names: []string{
			"trusted_ca", "system_root_certs", "watched_directory", "verify_certificate_spki", "verify_certificate_hash",
			"match_typed_subject_alt_names", "match_subject_alt_names", "crl", "allow_expired_certificate",
			"trust_chain_verification", "custom_validator_config", "only_verify_leaf_cert_crl", "max_verify_depth",
			"suppress_client_ca_list",
		},
	}
	commonFields = conf.Fields{
		Message: prefix + "CommonTlsContext",
		Names: []string{
			"tls_params", "tls_certificates", "tls_certificate_sds_secret_configs", "validation_context",
			"validation_context_sds_secret_config", "combined_validation_context.default_validation_context",
			"combined_validation_context.validation_context_sds_secret_config", "alpn_protocols", "key_log",
		},
	}
	downstreamFields = conf.Fields{
		Message: prefix + "DownstreamTlsContext",
		Names: []string{
			"common_tls_context", "require_client_certificate", "session_ticket_keys",
			"session_ticket_keys_sds_secret_config", "disable_stateless_session_resumption", "session_timeout",
			"ocsp_staple_policy", "full_scan_certs_on_sni_mismatch", "prefer_client_ciphers",
			// Sessions are kept in tickets only.
			"disable_stateful_session_resumption",
		},
	}
	upstreamFields = conf.Fields{
		Message: prefix + "UpstreamTlsContext",
		Names: []string{
			"common_tls_context", "sni", "auto_host_sni", "auto_sni_san_validation", "max_session_keys",
			// It is enforced in any case, as in Envoy.
			"enforce_rsa_key_usage",
		},
	}
	spiffeFields = conf.Fields{
		Message: prefix + "SPIFFECertValidatorConfig",
		Names:   []string{"trust_domains.name", "trust_domains.trust_bundle", "trust_bundles"},
	}
)

// Fields lists what is implemented of the messages that both sides share.
func Fields() []conf.Fields {
	return []conf.Fields{paramsFields, certificateFields, validationFields, commonFields, spiffeFields}
}
