package localratelimit

import (
	"maps"
	"sync"
	"weak"

	"github.com/nuncio-proxy/nuncio/extensions/common/tokenbucket"
)

// A shareKey names a bucket that filters share: those with the same share_key and the
// same token_bucket.
type shareKey struct {
	name   string
	bucket tokenbucket.Config
}

// sharedBuckets are the shared buckets that filters hold. One goes when its last filter
// does.
type sharedBuckets struct {
	mu      sync.Mutex // guards what follows
	buckets map[shareKey]weak.Pointer[tokenbucket.Bucket]
}

// get returns the bucket for a key, a new one if no filter has it.
func (s *sharedBuckets) get(key shareKey) *tokenbucket.Bucket {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b := s.buckets[key].Value(); b != nil {
		return b
	}
	maps.DeleteFunc(s.buckets, func(_ shareKey, p weak.Pointer[tokenbucket.Bucket]) bool { return p.Value() == nil })
	b := key.bucket.New()
	s.buckets[key] = weak.Make(b)
	return b
}
