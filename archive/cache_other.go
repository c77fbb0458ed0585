//go:build !linux

package archive

import "io"

// uncache leaves it to the system what it keeps in memory.
func uncache(string) {}

// willNeed leaves it to the system what it reads ahead.
func willNeed(io.ReaderAt, int64, int64) {}
