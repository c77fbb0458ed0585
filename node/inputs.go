package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/merkle"
)

const (
	proofSuffix   = ".qifeng.json"
	pendingSuffix = ".qifeng.pending"
	claimsSuffix  = ".claims.json"
)

// input is one FILE of submit: what is preserved of it, and where its proof goes.
type input struct {
	path string // of the content; a claims file where FILE was plain facts
	out  string // of the proof file
	fill func(*evidence.Submission)
}

// readInputs hashes the files of one request as their kind asks.
func (a *app) readInputs(kind evidence.Kind, files []string, dossier string) ([]input, error) {
	if kind == evidence.DossierClose {
		in, err := closeInput(files, dossier)
		return []input{in}, err
	}
	out := make([]input, 0, len(files))
	seen := map[string]bool{}
	for _, path := range files {
		var in input
		var err error
		if kind.Stream() == evidence.Contract {
			in, err = a.contentInput(path)
		} else {
			in, err = a.claimsInput(path)
		}
		if err != nil {
			return nil, err
		}
		if seen[in.path] {
			return nil, usagef("%s is named twice", in.path)
		}
		seen[in.path] = true
		out = append(out, in)
	}
	return out, nil
}

func (a *app) contentInput(path string) (input, error) {
	h, err := a.hashFile(path, false)
	if err != nil {
		return input{}, &codeError{code: exitUsage, err: err}
	}
	return input{path: path, out: path + proofSuffix, fill: func(s *evidence.Submission) {
		s.Digest, s.Size = &h.digest, &h.size
	}}, nil
}

// claimsInput takes a claims file, or makes one of a flat JSON object of
// strings. The salts in it are what keeps the facts from being guessed, and
// without them nothing can be proved: the file is the content from then on.
func (a *app) claimsInput(path string) (input, error) {
	b, err := readSmall(path, evidence.MaxClaimsBytes)
	if err != nil {
		return input{}, &codeError{code: exitUsage, err: err}
	}
	claims, claimsErr := evidence.ParseClaims(b)
	if claimsErr != nil {
		names, values, err := flatFacts(b)
		if err != nil {
			return input{}, usagef("%s: must be a claims file, or a JSON object of strings such as {\"name\":\"…\"}: as a claims file: %w; as an object: %w",
				path, claimsErr, err)
		}
		facts := path
		path += claimsSuffix
		if claims, err = a.salted(path, names, values); err != nil {
			return input{}, err
		}
		a.note("%s 已加盐写入 %s（0600）：它就是原文，请保存；没有它无法出示任何一项",
			"%s is salted into %s (mode 0600): that file is the content, keep it; without it nothing can be shown", facts, path)
	}
	root := claims.Root()
	return input{path: path, out: path + proofSuffix, fill: func(s *evidence.Submission) { s.Claims = &root }}, nil
}

// salted writes a new claims file of the facts, or takes the one that an
// earlier run made of the same facts.
func (a *app) salted(path string, names, values []string) (evidence.Claims, error) {
	old, err := os.ReadFile(path)
	if err == nil {
		claims, err := evidence.ParseClaims(old)
		if err == nil && sameFacts(claims, names, values) {
			return claims, nil
		}
		return nil, usagef("%s exists and holds other facts: it is evidence and is not replaced; move it away", path)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	claims := evidence.NewClaims(names, values)
	text, err := claims.Marshal()
	if err != nil {
		return nil, usagef("%w", err)
	}
	return claims, writeNew(path, append(text, '\n'), 0o600)
}

func sameFacts(claims evidence.Claims, names, values []string) bool {
	return len(claims) == len(names) && !slices.ContainsFunc(claims, func(c evidence.Claim) bool {
		i := slices.Index(names, c.Name)
		return i < 0 || values[i] != c.Value
	})
}

// flatFacts reads a JSON object whose values are all strings, in its order.
// The names may be in any language, which canonical JSON does not allow of
// keys. What encoding/json would mend in silence is refused: a name that
// stands twice, bytes that are no UTF-8, half a surrogate pair. The characters
// themselves are checked when the claims file is written.
func flatFacts(b []byte) (names, values []string, err error) {
	if !utf8.Valid(b) {
		return nil, nil, errors.New("is not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, nil, errors.New("is no JSON object")
	}
	for d.More() {
		name, err := stringToken(d)
		if err != nil {
			return nil, nil, err
		}
		value, err := stringToken(d)
		if err != nil {
			return nil, nil, fmt.Errorf("value of %q: %w", name, err)
		}
		if slices.Contains(names, name) {
			return nil, nil, fmt.Errorf("%q stands twice", name)
		}
		names, values = append(names, name), append(values, value)
	}
	if _, err := d.Token(); err != nil {
		return nil, nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("something follows the object")
	}
	return names, values, nil
}

func stringToken(d *json.Decoder) (string, error) {
	t, err := d.Token()
	if err != nil {
		return "", err
	}
	s, ok := t.(string)
	if !ok {
		return "", fmt.Errorf("must be a string, not %v", t)
	}
	if strings.ContainsRune(s, utf8.RuneError) {
		return "", errors.New("holds half a surrogate pair, or the replacement character U+FFFD")
	}
	return s, nil
}

// closeInput reads the proof files of a dossier's submissions, in order, and
// commits to their count and to all of them.
func closeInput(files []string, dossier string) (input, error) {
	leaves := make([]merkle.Digest, len(files))
	for i, path := range files {
		f, err := readProof(path)
		if err != nil {
			return input{}, err
		}
		if d := string(f.RecordOf().Submission.Dossier); d != dossier {
			return input{}, usagef("%s belongs to dossier %q, not to %q", path, d, dossier)
		}
		leaves[i] = f.RecordOf().Pair()
	}
	root := merkle.Root(leaves)
	name := "dossier-" + dossier
	return input{path: name, out: name + proofSuffix, fill: func(s *evidence.Submission) {
		s.Count, s.Root = uint64(len(leaves)), &root
	}}, nil
}

// readProof reads a proof file.
func readProof(path string) (*proof.File, error) {
	b, err := readSmall(path, proof.MaxFileBytes)
	if err != nil {
		return nil, &codeError{code: exitUsage, err: err}
	}
	f, err := proof.Parse(b)
	if err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	return f, nil
}
