package match

import "github.com/nuncio-proxy/nuncio/api/conf"

// Fields lists the fields of all messages that this package reads.
func Fields() []conf.Fields {
	return []conf.Fields{StringFields(), RegexFields(), SubstitutionFields(), HeaderFields(), QueryParameterFields(),
		CookieFields(), MetadataFields(), FilterStateFields()}
}

// StringFields lists the implemented fields of StringMatcher.
func StringFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.type.matcher.v3.StringMatcher",
		Names:   []string{"exact", "prefix", "suffix", "safe_regex", "contains", "ignore_case"},
	}
}

// RegexFields lists the implemented fields of RegexMatcher.
func RegexFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.type.matcher.v3.RegexMatcher",
		Names:   []string{"google_re2.max_program_size", "regex"},
	}
}

// SubstitutionFields lists the implemented fields of RegexMatchAndSubstitute.
func SubstitutionFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.type.matcher.v3.RegexMatchAndSubstitute",
		Names:   []string{"pattern", "substitution"},
	}
}

// HeaderFields lists the implemented fields of HeaderMatcher.
func HeaderFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.HeaderMatcher",
		Names: []string{"name", "exact_match", "safe_regex_match", "range_match", "present_match", "prefix_match",
			"suffix_match", "contains_match", "string_match", "invert_match", "treat_missing_header_as_empty"},
	}
}

// QueryParameterFields lists the implemented fields of QueryParameterMatcher.
func QueryParameterFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.QueryParameterMatcher",
		Names:   []string{"name", "string_match", "present_match"},
	}
}

// CookieFields lists the implemented fields of CookieMatcher.
func CookieFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.config.route.v3.CookieMatcher",
		Names:   []string{"name", "string_match", "invert_match"},
	}
}

// MetadataFields lists the implemented fields of MetadataMatcher.
func MetadataFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.type.matcher.v3.MetadataMatcher",
		Names:   []string{"filter", "path", "value", "invert"},
	}
}

// FilterStateFields lists the implemented fields of FilterStateMatcher.
func FilterStateFields() conf.Fields {
	return conf.Fields{
		Message: "envoy.type.matcher.v3.FilterStateMatcher",
		Names:   []string{"key", "string_match", "address_match.ranges", "address_match.invert_match"},
	}
}
