package merkle

const (
	// MaxPath is the longest path that is looked at. An inclusion path has at most 63 hashes and a
	// consistency path at most 64 in a tree of MaxSize leaves; a longer one is refused before any
	// hashing.
	MaxPath = 64
	// MaxSize is the largest tree: sizes fit int64 and no index arithmetic overflows.
	MaxSize = 1<<63 - 1
	// BlockSize is how many leaves a block has ([Blocks]). It is a power of two: what makes a path
	// of them relies on it.
	BlockSize  = 1 << blockLevel
	blockLevel = 5
	// bulkSize is how many leaves or nodes are hashed at once. It fills the widest registers sixteen
	// times over, so that the last, partly empty round hardly counts, and its scratch fits the L1
	// and L2 caches. It is a power of two: [Root] relies on it.
	bulkSize = 256
)
