package fabric

import (
	"bytes"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"

	"qifeng/proof/fabric/internal/wire"
)

// headerBytes is what orderers sign of a block header, and what the next block's
// previous hash is taken of (Fabric: protoutil.BlockHeaderBytes).
func headerBytes(number uint64, previous, data []byte) ([]byte, error) {
	return asn1.Marshal(struct {
		Number                 *big.Int
		PreviousHash, DataHash []byte
	}{new(big.Int).SetUint64(number), previous, data})
}

// checkBlock verifies that the block's envelopes are those of its header, and that
// enough orderers signed the header. It returns who signed.
func (r *Receipt) checkBlock(o *Orderers, at time.Time) ([]string, error) {
	if sum := sha256.Sum256(bytes.Join(r.Data, nil)); sum != r.DataHash {
		return nil, errors.New("the data hash is not that of the envelopes")
	}
	// It is taken of them joined. Where one ends follows from their spelling alone:
	// otherwise what is a part of one could be passed off as one.
	for i, b := range r.Data {
		var env wire.Envelope
		if err := unmarshalExact(b, &env); err != nil {
			return nil, fmt.Errorf("envelope %d: %w", i, err)
		}
		if len(env.Payload) == 0 || len(env.Signature) == 0 {
			return nil, fmt.Errorf("envelope %d has no payload or no signature", i)
		}
	}
	header, err := headerBytes(r.Number, r.PreviousHash[:], r.DataHash[:])
	if err != nil {
		return nil, fmt.Errorf("encoding the block header: %w", err)
	}
	var md wire.Metadata
	if err := unmarshalExact(r.Signatures, &md); err != nil {
		return nil, fmt.Errorf("the block's signatures: %w", err)
	}
	if len(md.Signatures) > maxBlockSignatures {
		return nil, fmt.Errorf("%d signatures of orderers, at most %d", len(md.Signatures), maxBlockSignatures)
	}
	orgs, err := newMSPs(o.Organisations)
	if err != nil {
		return nil, err
	}
	var signers []string
	seen := map[string]bool{}
	for i, s := range md.Signatures {
		id, part, name, err := o.signer(s)
		if err == nil {
			key := string(id.cert.RawSubjectPublicKeyInfo) // two certificates of one key are one orderer
			if seen[key] {
				return nil, fmt.Errorf("orderer's signature %d: a second one of %s", i, name)
			}
			seen[key] = true
			err = orgs.judge(id, roleOrderer, at, slices.Concat(md.Value, part, header), s.Signature)
		}
		if err != nil {
			return nil, fmt.Errorf("orderer's signature %d: %w", i, err)
		}
		signers = append(signers, name)
	}
	if len(signers) < o.Signatures {
		return nil, fmt.Errorf("the block header is signed by %d orderers (%s), %d are needed", len(signers), quoted(signers), o.Signatures)
	}
	slices.Sort(signers)
	return signers, nil
}

// signer finds out whose a signature says it is, and what part of it is signed
// along: under BFT a number that stands for a pinned consenter, under raft the
// identity itself.
func (o *Orderers) signer(s *wire.MetadataSignature) (*identity, []byte, string, error) {
	if len(o.Consenters) == 0 {
		if len(s.IdentifierHeader) > 0 {
			return nil, nil, "", errors.New("signed with a consenter's number, and no consenters are pinned")
		}
		var h wire.SignatureHeader
		if err := unmarshal(s.SignatureHeader, &h); err != nil {
			return nil, nil, "", fmt.Errorf("signature header: %w", err)
		}
		id, err := parseIdentity(h.Creator)
		if err != nil {
			return nil, nil, "", err
		}
		return id, s.SignatureHeader, id.name(), nil
	}
	if len(s.SignatureHeader) > 0 {
		return nil, nil, "", errors.New("signed without a consenter's number")
	}
	var h wire.IdentifierHeader
	if err := unmarshal(s.IdentifierHeader, &h); err != nil {
		return nil, nil, "", fmt.Errorf("identifier header: %w", err)
	}
	for i := range o.Consenters {
		c := &o.Consenters[i]
		if c.ID != uint64(h.Identifier) {
			continue
		}
		cert, err := parseCertificate(c.Certificate)
		if err != nil {
			return nil, nil, "", fmt.Errorf("consenter %d: %w", c.ID, err)
		}
		id := &identity{msp: c.MSP, cert: cert}
		return id, s.IdentifierHeader, fmt.Sprintf("%d %s", c.ID, id.name()), nil
	}
	return nil, nil, "", fmt.Errorf("consenter %d is not pinned", h.Identifier)
}

// name is how a report calls an identity: MSP and common name.
func (id *identity) name() string {
	return printable(id.msp) + "/" + printable(id.cert.Subject.CommonName)
}

// printable keeps what a CA let into a name from playing with a reader's screen.
func printable(s string) string {
	if len(s) > maxName {
		s = s[:maxName]
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, s)
}

func quoted(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}
