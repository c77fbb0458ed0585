package api_test

import (
	"qifeng/api"
	"qifeng/archive"
	"qifeng/chain"
)

// The real rooms are what the server asks for.
var (
	_ api.Archive = (*archive.Archive)(nil)
	_ api.Chain   = (*chain.Chain)(nil)
)
