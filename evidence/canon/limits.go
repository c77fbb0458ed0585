package canon

const (
	// MaxDepth bounds nesting. The deepest document of this project, a genesis
	// with cards, nests five levels; the margin keeps recursion harmless.
	MaxDepth = 16
	// maxKey bounds an object key in bytes; the longest of a format has 17.
	maxKey = 64
	// MaxInt is the largest integer that every JSON implementation keeps exact
	// (RFC 8785 §3.2.2.3 with RFC 7493 §2.2).
	MaxInt = 1<<53 - 1
)
