package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"qifeng/proof/checkpoint"
)

// A file is read anew at every look, and parsed anew when its bytes have changed:
// a put comes about once a minute, and no clock of a file system is trusted.
// There is no fallback to what it held before: while it is bad, nothing goes.
type file[T any] struct {
	path  string
	max   int
	parse func(text []byte, last *T) (*T, error) // last is the latest good value, nil at first

	mu    sync.Mutex // guards what follows
	text  []byte     // what value and err were made of
	known bool
	value *T
	good  *T
	err   error
}

func (f *file[T]) read() (*T, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	text, err := readFile(f.path, f.max)
	if err != nil {
		f.known = false
		return nil, err
	}
	if f.known && bytes.Equal(text, f.text) {
		return f.value, f.err
	}
	f.text, f.known = text, true
	if f.value, f.err = f.parse(text, f.good); f.err != nil {
		f.value, f.err = nil, fmt.Errorf("%s: %w", filepath.Base(f.path), f.err)
		return nil, f.err
	}
	f.good = f.value
	return f.value, nil
}

// readFile reads a regular file; errors name it without its folder, since clients
// are told them.
func readFile(path string, max int) ([]byte, error) {
	name := filepath.Base(path)
	f, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil, fmt.Errorf("this organisation has no file %s", name)
	}
	if err != nil {
		return nil, fmt.Errorf("this organisation's file %s cannot be opened", name)
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", name)
	}
	text, err := io.ReadAll(io.LimitReader(f, int64(max)+1))
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read", name)
	}
	if len(text) > max {
		return nil, fmt.Errorf("%s has more than %d bytes", name, max)
	}
	return text, nil
}

// policies are the trust policies of a folder, one file <chain id>.txt per chain.
type policies struct {
	dir string

	mu    sync.Mutex // guards files
	files map[string]*file[checkpoint.Policy]
}

func newPolicies(dir string) *policies {
	return &policies{dir: dir, files: map[string]*file[checkpoint.Policy]{}}
}

// of returns the policy of a chain, whose id the caller has checked and the
// writers file knows.
func (p *policies) of(chain string) (*checkpoint.Policy, error) {
	p.mu.Lock()
	f := p.files[chain]
	if f == nil {
		f = &file[checkpoint.Policy]{path: filepath.Join(p.dir, chain+".txt"), max: checkpoint.MaxPolicy}
		f.parse = func(text []byte, last *checkpoint.Policy) (*checkpoint.Policy, error) {
			return parsePolicy(text, chain, last)
		}
		p.files[chain] = f
	}
	p.mu.Unlock()
	return f.read()
}

func parsePolicy(text []byte, chain string, last *checkpoint.Policy) (*checkpoint.Policy, error) {
	p, err := checkpoint.ParsePolicy(text)
	if err != nil {
		return nil, err
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if p.Chain != chain {
		return nil, fmt.Errorf("it is the policy of %s", p.Chain)
	}
	if last != nil && !continues(last, p) {
		return nil, fmt.Errorf("it contradicts the policy that was here before: only new epochs and pins may be added (an operator who means it restarts anchorcc)")
	}
	return p, nil
}

// continues says whether a policy tells the same past as the one before it. It
// catches a file put into the wrong place, not an operator.
func continues(last, p *checkpoint.Policy) bool {
	if last.Genesis != p.Genesis || len(p.Epochs) < len(last.Epochs) {
		return false
	}
	for i, was := range last.Epochs {
		is := p.Epochs[i]
		if was.First != is.First || !slices.Equal(was.Members, is.Members) || was.Quorum.Members != is.Quorum.Members ||
			was.Quorum.NeutralRoles != is.Quorum.NeutralRoles || !slices.Equal(was.Quorum.Require, is.Quorum.Require) {
			return false
		}
	}
	return true
}

// writers says which organisations may write which log.
type writers struct{ file file[map[string][]string] }

func newWriters(path string) *writers {
	return &writers{file[map[string][]string]{path: path, max: maxWriters, parse: func(text []byte, _ *map[string][]string) (*map[string][]string, error) {
		return parseWriters(text)
	}}}
}

// of returns the MSP ids that may write a log, none if the file does not name it.
func (w *writers) of(origin string) ([]string, error) {
	m, err := w.file.read()
	if err != nil {
		return nil, err
	}
	return (*m)[origin], nil
}

const writersHeader = "qifeng-writers/v1"

// parseWriters reads the header line and then lines "<origin> <MSP id>…", with
// single spaces; empty lines and lines that begin with # are for people.
func parseWriters(text []byte) (*map[string][]string, error) {
	out := map[string][]string{}
	seen := false
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		if !seen {
			if line != writersHeader {
				return nil, fmt.Errorf("line %d: the first line is %q", i+1, writersHeader)
			}
			seen = true
			continue
		}
		words := strings.Split(line, " ")
		origin, err := parseOrigin([]byte(words[0]))
		if err != nil {
			return nil, fmt.Errorf("line %d: %q is no origin", i+1, words[0])
		}
		if _, twice := out[origin]; twice {
			return nil, fmt.Errorf("line %d: %s stands there twice", i+1, origin)
		}
		if len(words) == 1 {
			return nil, fmt.Errorf("line %d: no organisation", i+1)
		}
		for _, msp := range words[1:] {
			if !isMSP(msp) {
				return nil, fmt.Errorf("line %d: %q is no MSP id", i+1, msp)
			}
		}
		out[origin] = words[1:]
	}
	if !seen {
		return nil, fmt.Errorf("the line %q is missing", writersHeader)
	}
	return &out, nil
}

func isMSP(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return s != "" && len(s) <= maxMSP
}
