package merkle

const (
	// MaxPath is the longest path that is looked at. An inclusion path has at most 63 hashes and a
	// consistency path at most 64 in a tree of MaxSize leaves; a longer one is refused before any
	// hashing.
	MaxPath = 64
	// MaxSize is the largest tree: sizes fit int64 and no index arithmetic overflows.
	MaxSize = 1<<63 - 1
)
