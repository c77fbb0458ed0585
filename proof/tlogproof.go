package proof

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"

	"qifeng/proof/checkpoint"
)

// ErrNotSealed is the error of an export that needs a checkpoint where the file
// holds a receipt only.
var ErrNotSealed = errors.New("the proof file holds a receipt only; fetch the proof once the record is sealed")

// ExportTlogProof writes the ledger part of a proof file as C2SP tlog-proof@v1:
// that the batch header is an entry of the sealed ledger, by SHA-256 and
// Ed25519. It says nothing of the record inside the batch. The stock policy
// file that fits is named in the result and in the proof's extra line; the
// record hash that a stock tool asks for is over the batch entry's bytes.
//
// member says whose log line to export; empty takes the first that is there.
func ExportTlogProof(f *File, p *checkpoint.Policy, member string) (proof []byte, policyFile string, err error) {
	if !f.Sealed() {
		return nil, "", ErrNotSealed
	}
	sealed, err := checkpoint.Open(f.Checkpoint, p, checkpoint.Options{})
	if err != nil {
		return nil, "", fmt.Errorf("exporting tlog-proof: %w", err)
	}
	if member == "" {
		if member = firstLog(sealed); member == "" {
			return nil, "", errors.New("exporting tlog-proof: the checkpoint has no log line")
		}
	}
	note, err := checkpoint.StockNote(f.Checkpoint, p, member)
	if err != nil {
		return nil, "", fmt.Errorf("exporting tlog-proof: %w", err)
	}
	policyFile = checkpoint.StockPolicyName(sealed.Epoch, member)
	var b bytes.Buffer
	fmt.Fprintf(&b, "c2sp.org/tlog-proof@v1\nextra %s\nindex %d\n", base64.StdEncoding.EncodeToString([]byte(policyFile)), f.Batch.Index)
	for _, h := range f.Batch.Path {
		fmt.Fprintf(&b, "%s\n", base64.StdEncoding.EncodeToString(h.SHA256[:]))
	}
	b.WriteByte('\n')
	b.Write(note)
	return b.Bytes(), policyFile, nil
}

func firstLog(s *checkpoint.Sealed) string {
	for _, o := range s.Outcomes {
		if o.Counted && o.Log {
			return o.Member
		}
	}
	return ""
}
