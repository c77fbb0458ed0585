package checkpoint

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"qifeng/proof/merkle"
)

const (
	originPrefix = "qifeng/"
	sm3Prefix    = "sm3 "
)

// A Checkpoint is size and root of a ledger (c2sp.org/tlog-checkpoint, with the
// SM3 root as the one extension line).
type Checkpoint struct {
	Origin string // Origin(chain id)
	Size   uint64 // entries of the ledger, at most MaxSize
	Root   merkle.Digest
}

// Origin is the log identity of a chain, and the key name of its log lines.
func Origin(chainID string) string { return originPrefix + chainID }

// ChainID is the id of the chain with this name and genesis; genesis is the
// plain pair (merkle.Sum) of the canonical genesis bytes.
func ChainID(name string, genesis merkle.Digest) string {
	return name + "-" + hex.EncodeToString(genesis.SM3[:4])
}

// CheckChainID accepts a name of lower-case letters, digits and dashes that
// begins with a letter, a dash, and eight hex digits.
func CheckChainID(id string) error {
	if len(id) > MaxChainID {
		return fmt.Errorf("%w chain id: %d bytes, at most %d", ErrMalformed, len(id), MaxChainID)
	}
	cut := len(id) - 9
	if cut < 1 || id[cut] != '-' {
		return fmt.Errorf("%w chain id %q: want a name, a dash and 8 hex digits", ErrMalformed, id)
	}
	if id[0] < 'a' || id[0] > 'z' || !onlyBytes(id[:cut], isIDByte) {
		return fmt.Errorf("%w chain id %q: the name is lower-case letters, digits and dashes after a letter", ErrMalformed, id)
	}
	if !onlyBytes(id[cut+1:], isHexByte) {
		return fmt.Errorf("%w chain id %q: the end is 8 lower-case hex digits", ErrMalformed, id)
	}
	return nil
}

func isIDByte(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-'
}

func isHexByte(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' }

func onlyBytes(s string, ok func(byte) bool) bool {
	for i := range len(s) {
		if !ok(s[i]) {
			return false
		}
	}
	return true
}

// Body returns the bytes that all members sign: a pure function of the ledger.
func (c Checkpoint) Body() []byte {
	b := make([]byte, 0, maxBody)
	b = append(b, c.Origin...)
	b = append(b, '\n')
	b = strconv.AppendUint(b, c.Size, 10)
	b = append(b, '\n')
	b = base64.StdEncoding.AppendEncode(b, c.Root.SHA256[:])
	b = append(b, '\n')
	b = append(b, sm3Prefix...)
	b = base64.StdEncoding.AppendEncode(b, c.Root.SM3[:])
	return append(b, '\n')
}

// ParseBody accepts exactly the bytes that Body writes.
func ParseBody(b []byte) (Checkpoint, error) {
	if len(b) > maxBody {
		return Checkpoint{}, fmt.Errorf("%w checkpoint: %d bytes, at most %d", ErrMalformed, len(b), maxBody)
	}
	lines := strings.Split(string(b), "\n")
	if len(lines) != 5 || lines[4] != "" {
		return Checkpoint{}, fmt.Errorf("%w checkpoint: want four lines, each ended", ErrMalformed)
	}
	c := Checkpoint{Origin: lines[0]}
	if err := checkOrigin(c.Origin); err != nil {
		return Checkpoint{}, err
	}
	var err error
	if c.Size, err = parseSize(lines[1]); err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint size: %w", err)
	}
	if c.Root.SHA256, err = decodeRoot(lines[2]); err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint SHA-256 root: %w", err)
	}
	sm3, ok := strings.CutPrefix(lines[3], sm3Prefix)
	if !ok {
		return Checkpoint{}, fmt.Errorf("%w checkpoint: the fourth line does not begin with %q", ErrMalformed, sm3Prefix)
	}
	if c.Root.SM3, err = decodeRoot(sm3); err != nil {
		return Checkpoint{}, fmt.Errorf("checkpoint SM3 root: %w", err)
	}
	return c, nil
}

func checkOrigin(origin string) error {
	id, ok := strings.CutPrefix(origin, originPrefix)
	if !ok {
		return fmt.Errorf("%w origin %q: want %q and a chain id", ErrMalformed, origin, originPrefix)
	}
	return CheckChainID(id)
}

// parseSize reads a decimal without sign or leading zeros, at most MaxSize.
func parseSize(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != s || n > MaxSize {
		return 0, fmt.Errorf("%w: %q is no plain decimal up to %d", ErrMalformed, s, uint64(MaxSize))
	}
	return n, nil
}

// decodeRoot reads one hash in base64. The re-encoding check is what makes it
// strict: Go's decoder skips CR and LF and, by default, unused trailing bits.
func decodeRoot(s string) (h [32]byte, err error) {
	raw, err := decodeBase64(s)
	if err != nil {
		return h, err
	}
	if len(raw) != len(h) {
		return h, fmt.Errorf("%w: %d bytes, want %d", ErrMalformed, len(raw), len(h))
	}
	return [32]byte(raw), nil
}

func decodeBase64(s string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(s)
	if err != nil || base64.StdEncoding.EncodeToString(raw) != s {
		return nil, fmt.Errorf("%w base64", ErrMalformed)
	}
	return raw, nil
}
