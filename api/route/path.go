package route

// A PathMatcher is a condition on the path of a request that an extension makes, for
// path_match_policy. Any worker.
type PathMatcher interface {
	// MatchPath tests a path without its query.
	MatchPath(path string) bool
	// Prefix returns what every path that matches begins with; it may be "".
	Prefix() string
	// Template returns the URI template that the condition was made from, "" if it was
	// made from something else.
	Template() string
}

// A PathRewriter makes a new path of the path that a route matched, for
// path_rewrite_policy. Any worker.
type PathRewriter interface {
	// RewritePath takes and returns a path without its query. ok is false for a path
	// that the route's PathMatcher does not match; such a path stays as it is.
	RewritePath(path string) (rewritten string, ok bool)
}
