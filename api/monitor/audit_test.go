package monitor_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"

	"qifeng/api/apitest"
	"qifeng/api/monitor"
	"qifeng/evidence"
	"qifeng/internal/gm"
)

func (n *node) auditing(t *testing.T) *monitor.Monitor {
	t.Helper()
	return n.monitor(t, func(c *monitor.Config) { c.State, c.Entries = nil, true })
}

// TestAudit: over the sizes where bundles fill, a running audit reads on and one
// that begins anew reads all.
func TestAudit(t *testing.T) {
	n := newNode(t)
	m := n.auditing(t)
	n.roundWith(t, m, n.Client, monitor.First)
	var read []int
	counting := &liar{Source: n.Client, bundle: func(_ uint64, b []byte) ([]byte, error) {
		read = append(read, len(b))
		return b, nil
	}}
	if err := n.Ledger.Append(n.KeyEntry(t, "notary-a", "desk", newKey(t), evidence.Read)); err != nil {
		t.Fatal(err)
	}
	if err := n.Ledger.Append(n.Revocation(t, "notary-a", "desk")); err != nil {
		t.Fatal(err)
	}
	for _, size := range []uint64{8, 255, 256, 257, 520} {
		n.grow(t, n.Ledger, size)
		if r := n.roundWith(t, m, counting, monitor.Advanced); r.Audited != size {
			t.Errorf("%d entries audited of %d", r.Audited, size)
		}
		if r := n.roundWith(t, n.auditing(t), n.Client, monitor.First); r.Audited != size {
			t.Errorf("anew: %d entries audited of %d", r.Audited, size)
		}
	}
	if len(read) != 1+1+1+1+2 {
		t.Errorf("%d bundles read", len(read))
	}
	n.roundWith(t, m, counting, monitor.Same)
	if len(read) != 6 {
		t.Errorf("the same ledger was read again")
	}
}

func newKey(t *testing.T) gm.PublicKey {
	t.Helper()
	k, err := gm.GenerateKey(gm.SM2)
	if err != nil {
		t.Fatal(err)
	}
	return k.Public()
}

// TestAuditFindsWhatWasSealedWrongly: the members have sealed an entry that the
// rules refuse, and the audit names it.
func TestAuditFindsWhatWasSealedWrongly(t *testing.T) {
	at := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name, want string
		entry      func(t *testing.T, n *node) []byte
	}{
		{"no object", "is no ledger entry", func(*testing.T, *node) []byte { return []byte("x") }},
		{"empty", "is no ledger entry", func(*testing.T, *node) []byte { return []byte{} }},
		{"a statement", `type "statement"`, func(t *testing.T, n *node) []byte {
			return []byte(strings.Replace(string(n.Batch(t, "court-a", 9, at)), `"type":"batch"`, `"type":"statement"`, 1))
		}},
		{"a false signature", "signature", func(t *testing.T, n *node) []byte {
			b := n.Batch(t, "court-a", 9, at)
			i := bytes.Index(b, []byte(`"sig":"`)) + 7
			b[i+64] = map[bool]byte{true: '1', false: '0'}[b[i+64] == '0']
			return b
		}},
		{"another member's signature", "signature", func(t *testing.T, n *node) []byte {
			b, err := (&evidence.Batch{Node: "court-a", Seq: 9, RegistrySize: 1, FirstReceivedAt: at, LastReceivedAt: at,
				Streams: map[evidence.Stream]evidence.StreamRoot{evidence.Contract: {Count: 1}}}).Sign(n.Chain, n.Keys["notary-a"].Intake)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}},
		{"a stranger's", "stranger-a is no member", func(t *testing.T, n *node) []byte {
			return bytes.Replace(n.Batch(t, "court-a", 9, at), []byte("court-a"), []byte("stranger-a"), 1)
		}},
		{"a number twice", "after its batch", func(t *testing.T, n *node) []byte { return n.Batch(t, "court-a", 1, at) }},
		{"time back", "begins before", func(t *testing.T, n *node) []byte {
			return n.Batch(t, "court-a", 9, n.Genesis.CreatedAt.Add(-time.Hour))
		}},
		{"another chain's", "signature", func(t *testing.T, n *node) []byte {
			c := *n.Consortium
			c.Chain = "other-00000000"
			return c.Batch(t, "court-a", 9, at)
		}},
		{"a registry of the future", "registry of size 999", func(t *testing.T, n *node) []byte {
			b, err := (&evidence.Batch{Node: "court-a", Seq: 9, RegistrySize: 999, FirstReceivedAt: at, LastReceivedAt: at,
				Streams: map[evidence.Stream]evidence.StreamRoot{evidence.Contract: {Count: 1}}}).Sign(n.Chain, n.Keys["court-a"].Intake)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}},
		{"a key name twice", "a second time", func(t *testing.T, n *node) []byte {
			return n.KeyEntry(t, apitest.Node, apitest.KeyName, newKey(t), evidence.Submit)
		}},
		{"revoking nothing", "none that could be", func(t *testing.T, n *node) []byte { return n.Revocation(t, "court-a", "nobody") }},
		{"revoking twice", "none that could be", func(t *testing.T, n *node) []byte {
			if err := n.Ledger.Append(n.Revocation(t, apitest.Node, apitest.KeyName)); err != nil {
				t.Fatal(err)
			}
			return n.Revocation(t, apitest.Node, apitest.KeyName)
		}},
		{"a key by another admin", "signature", func(t *testing.T, n *node) []byte {
			return bytes.Replace(n.KeyEntry(t, "court-a", "new", newKey(t), evidence.Submit), []byte(`"member":"court-a"`), []byte(`"member":"notary-a"`), 1)
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := newNode(t)
			n.grow(t, n.Ledger, 12)
			entry := tt.entry(t, n)
			n.Ledger.Force(entry)
			index := n.Ledger.Size() - 1
			n.grow(t, n.Ledger, index+5)
			n.roundWith(t, n.monitor(t, nil), n.Client, monitor.First) // it is a consistent ledger
			r := n.roundWith(t, n.auditing(t), n.Client, monitor.Contradiction)
			if r.Alarm.Kind != monitor.Entries || r.Alarm.Index != index || !bytes.Equal(r.Alarm.Entry, entry) || !strings.Contains(r.Reason, tt.want) {
				t.Errorf("%s: %+v", r.Reason, r.Alarm)
			}
			var e *monitor.EntryError
			a := monitor.NewAuditor(n.Policy)
			if err := a.Extend(t.Context(), n.Client, r.Sealed.Checkpoint); !errors.As(err, &e) || e.Index != index {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestAuditOfServedLies: a node whose bundles are not what was sealed accuses
// itself and nobody else, and a true answer mends it.
func TestAuditOfServedLies(t *testing.T) {
	n := newNode(t)
	n.grow(t, n.Ledger, 300)
	for name, lie := range map[string]func(index uint64, b []byte) ([]byte, error){
		"cut":       func(_ uint64, b []byte) ([]byte, error) { return b[:len(b)-1], nil },
		"nothing":   func(uint64, []byte) ([]byte, error) { return nil, nil },
		"more":      func(_ uint64, b []byte) ([]byte, error) { return append(b, 0, 1, 'x'), nil },
		"half more": func(_ uint64, b []byte) ([]byte, error) { return append(b, 0), nil },
		"an entry of another ledger": func(index uint64, b []byte) ([]byte, error) {
			if index == 0 {
				return b, nil
			}
			end := 2 + int(binary.BigEndian.Uint16(b))
			entry := n.Batch(t, "court-a", 1, n.Genesis.CreatedAt)
			return append(append(binary.BigEndian.AppendUint16(nil, uint16(len(entry))), entry...), b[end:]...), nil
		},
		"a changed byte": func(_ uint64, b []byte) ([]byte, error) { b[len(b)-40] ^= 1; return b, nil },
	} {
		t.Run(name, func(t *testing.T) {
			m := n.auditing(t)
			r := n.roundWith(t, m, &liar{Source: n.Client, bundle: lie}, monitor.Invalid)
			if r.Alarm != nil || !r.False() {
				t.Errorf("%+v", r)
			}
			if r := n.roundWith(t, m, n.Client, monitor.Same); r.Audited != 300 || !r.Proved() {
				t.Errorf("%+v", r)
			}
		})
	}
	// What breaks in between is gone on with.
	m := n.auditing(t)
	failing := &liar{Source: n.Client, bundle: func(index uint64, b []byte) ([]byte, error) {
		if index == 1 {
			return nil, errors.New("connection reset")
		}
		return b, nil
	}}
	if r := n.roundWith(t, m, failing, monitor.Unreachable); r.Audited != 256 || r.Proved() {
		t.Errorf("%+v", r)
	}
	if r := n.roundWith(t, m, n.Client, monitor.Same); r.Audited != 300 || !r.Proved() {
		t.Errorf("%+v", r)
	}
}
