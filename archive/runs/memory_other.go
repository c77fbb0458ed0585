//go:build !unix

package runs

func borrow(n int64) ([]byte, error) { return make([]byte, n), nil }

func giveBack([]byte) {}
