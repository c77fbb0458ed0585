package chain

import (
	"fmt"
	"slices"

	"qifeng/evidence"
	"qifeng/internal/gm"
)

// code is the result code of a transaction. Codes are part of CometBFT's
// results hash and so of consensus: a number never changes its meaning. The
// texts are not.
type code uint32

const (
	codeOK           code = 0
	codeSize         code = 1  // larger than maxTxBytes
	codeMalformed    code = 2  // no canonical signed object, or a field is wrong
	codeType         code = 3  // a signed object that is no transaction
	codeMember       code = 4  // of no member
	codeSeq          code = 5  // a batch's sequence number was taken, or is behind one that was
	codeBusy         code = 6  // the member has too many waiting; in CheckTx only
	codeSignature    code = 7  // the member's key did not sign it for this chain
	codeTime         code = 8  // received before the node's previous batch ended
	codeRegistrySize code = 9  // keys checked against a ledger that is not there yet
	codeKeyUsed      code = 10 // the name was registered before, or changes in this block already
	codeKeyUnknown   code = 11 // revoking what is not registered
	codeKeyRevoked   code = 12 // revoking what is revoked
	codeKeyLimit     code = 13 // the member has no more names
	codeCrowded      code = 14 // too many transactions of the member in one block
)

// refusal says why a transaction is refused.
type refusal struct {
	code code
	text string
}

func (r *refusal) Error() string { return r.text }

func refuse(c code, format string, args ...any) *refusal {
	return &refusal{code: c, text: fmt.Sprintf(format, args...)}
}

// tx is a decoded transaction of a member; its signature is not yet checked.
type tx struct {
	raw    []byte
	member string
	signed *evidence.Signed
	key    gm.PublicKey    // must have signed
	batch  *evidence.Batch // one of the two is set
	entry  *evidence.KeyEntry
}

// decode reads a transaction: size, form, member. It looks at nothing but the
// bytes and the consortium, so all nodes agree on it.
func (c *consortium) decode(raw []byte) (*tx, *refusal) {
	if len(raw) > maxTxBytes {
		return nil, refuse(codeSize, "transaction of %d bytes; at most %d are taken", len(raw), maxTxBytes)
	}
	t := &tx{raw: slices.Clone(raw)}
	switch typ := evidence.PeekType(t.raw); typ {
	case evidence.TypeBatch:
		b, err := evidence.ParseBatch(t.raw)
		if err != nil {
			return nil, refuse(codeMalformed, "%v", err)
		}
		t.batch, t.signed, t.member = b, b.Signed, b.Node
	case evidence.TypeKey:
		k, err := evidence.ParseKeyEntry(t.raw)
		if err != nil {
			return nil, refuse(codeMalformed, "%v", err)
		}
		t.entry, t.signed, t.member = k, k.Signed, k.Member
	case "":
		return nil, refuse(codeMalformed, "not a canonical signed object")
	default:
		return nil, refuse(codeType, "a transaction is a batch or a key entry, not a %s", typ)
	}
	m, ok := c.members[t.member]
	if !ok {
		return nil, refuse(codeMember, "%s is no member of %s", t.member, c.chainID)
	}
	t.key = m.admin
	if t.batch != nil {
		t.key = m.intake
	}
	return t, nil
}

// verify checks the signature: the dearest check, made last.
func (c *consortium) verify(t *tx) *refusal {
	if err := t.signed.Verify(c.chainID, t.key); err != nil {
		which := "admin"
		if t.batch != nil {
			which = "intake"
		}
		return refuse(codeSignature, "the %s key of %s on %s did not sign this: %v", which, t.member, c.chainID, err)
	}
	return nil
}
