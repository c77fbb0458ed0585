package node

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// hashed is what one pass over a file gives.
type hashed struct {
	digest merkle.Digest
	size   uint64
	second [32]byte // SM3 by the second library, if asked
}

// hashFile reads a file once, in pieces, and computes both hashes; with second
// also SM3 by the second library. On a terminal a large file shows a bar.
func (a *app) hashFile(path string, second bool) (hashed, error) {
	f, err := os.Open(path)
	if err != nil {
		return hashed{}, err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return hashed{}, err
	}
	if fi.IsDir() {
		return hashed{}, fmt.Errorf("%s is a folder, not a file", path)
	}
	h := merkle.NewHash()
	sinks := []io.Writer{h}
	var h2 hash.Hash
	if second {
		h2 = gm.NewSM3Second()
		sinks = append(sinks, h2)
	}
	if bar := a.progress(fi.Size(), fi.Name()); bar != nil {
		defer bar.Close()
		sinks = append(sinks, bar)
	}
	n, err := io.CopyBuffer(io.MultiWriter(sinks...), f, make([]byte, hashBuffer))
	if err != nil {
		return hashed{}, fmt.Errorf("reading %s: %w", path, err)
	}
	out := hashed{digest: h.Sum(), size: uint64(n)}
	if second {
		h2.Sum(out.second[:0])
	}
	return out, nil
}

// progress is a bar on standard error, or nil where nobody would see one.
func (a *app) progress(size int64, name string) io.WriteCloser {
	f, ok := a.errw.(*os.File)
	if !ok || size < progressFrom || !term.IsTerminal(int(f.Fd())) {
		return nil
	}
	return progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(f),
		progressbar.OptionSetDescription(name),
		progressbar.OptionShowBytes(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)
}

// pairOfFile is the plain pair of a small file's bytes; of a certificate in
// PEM, of the DER inside it.
func pairOfFile(path string, certificate bool) (*merkle.Digest, error) {
	b, err := readSmall(path, maxSmallFile)
	if err != nil {
		return nil, &codeError{code: exitUsage, err: err}
	}
	if certificate {
		if block, rest := pem.Decode(b); block != nil {
			if block.Type != "CERTIFICATE" || len(bytes.TrimSpace(rest)) > 0 {
				return nil, usagef("%s: must hold one certificate and nothing else, in DER or PEM", path)
			}
			b = block.Bytes
		}
	}
	d := merkle.Sum(b)
	return &d, nil
}
