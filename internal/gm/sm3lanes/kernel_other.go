//go:build !amd64 || purego

package sm3lanes

// kernels is empty: everywhere else the caller hashes one message after the other.
var kernels []kernel
