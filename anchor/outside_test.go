package anchor_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"qifeng/anchor"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// outside is a witness in this process, for faults alone: what real ones do is
// tested with their drivers. It is as strict as one can be, and notes what an
// honest node never does.
type outside struct {
	name string
	key  ed25519.PrivateKey

	mu       sync.Mutex // guards what follows
	size     uint64
	root     merkle.Digest
	note     []byte
	taken    []uint64      // sizes, in order, each once
	puts     []uint64      // sizes of all calls that reached it
	wrong    []string      // what an honest node never does
	calls    int           // in flight
	down     bool          // nobody is reached
	cut      bool          // the next statement is taken and the answer lost
	hanging  chan struct{} // no answer until it is closed
	deaf     bool          // hanging ignores the context too
	stuck    chan struct{} // Close does not return until it is closed
	refuse   error         // said instead of an answer
	spoil    func(*anchor.Receipt)
	panicked bool
}

func newOutside(t testing.TB, name string) *outside {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &outside{name: name, key: key}
}

func (o *outside) Kind() proof.AnchorKind { return proof.AnchorWitness }

func (o *outside) Close() error {
	o.mu.Lock()
	stuck := o.stuck
	o.mu.Unlock()
	if stuck != nil {
		<-stuck
	}
	return nil
}

func (o *outside) set(f func(*outside)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(o)
}

func (o *outside) hang(deaf bool) {
	o.set(func(o *outside) { o.hanging, o.deaf = make(chan struct{}), deaf })
}

func (o *outside) goOn() {
	o.set(func(o *outside) { close(o.hanging); o.hanging = nil })
}

func (o *outside) Put(ctx context.Context, cp anchor.Checkpoint, ledger anchor.Ledger) (anchor.Receipt, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.calls++; o.calls > 1 {
		o.wrong = append(o.wrong, "two calls at once")
	}
	defer func() { o.calls-- }()
	if err := ctx.Err(); err != nil {
		return anchor.Receipt{}, err
	}
	if hanging := o.hanging; hanging != nil {
		done := ctx.Done()
		if o.deaf {
			done = nil
		}
		o.mu.Unlock()
		select {
		case <-hanging:
		case <-done:
		}
		o.mu.Lock()
		if !o.deaf && ctx.Err() != nil {
			return anchor.Receipt{}, ctx.Err()
		}
	}
	switch {
	case o.panicked:
		panic("the test said so")
	case o.down:
		return anchor.Receipt{}, errors.New("connection refused")
	case o.refuse != nil:
		return anchor.Receipt{}, o.refuse
	}
	return o.take(cp, ledger)
}

// take is the witness itself.
func (o *outside) take(cp anchor.Checkpoint, ledger anchor.Ledger) (anchor.Receipt, error) {
	o.puts = append(o.puts, cp.Size)
	if cp.Size < o.size {
		o.wrong = append(o.wrong, fmt.Sprintf("size %d after %d", cp.Size, o.size))
		return anchor.Receipt{}, fmt.Errorf("size %d is held already", o.size)
	}
	if o.size > 0 {
		path, err := ledger.Consistency(o.size, cp.Size)
		if err == nil {
			err = merkle.VerifyConsistency(o.size, cp.Size, o.root, cp.Root, path)
		}
		if err != nil {
			return anchor.Receipt{}, &anchor.Conflict{Size: cp.Size, Ours: cp.Note, Theirs: o.note, Err: err}
		}
	}
	if cp.Size > o.size {
		o.size, o.root, o.note = cp.Size, cp.Root, cp.Note
		o.taken = append(o.taken, cp.Size)
	}
	if o.cut {
		o.cut = false
		return anchor.Receipt{}, errors.New("connection reset by peer")
	}
	r := anchor.Receipt{Note: append(slices.Clone(cp.Note), o.line(cp.Note)...)}
	if o.spoil != nil {
		o.spoil(&r)
	}
	return r, nil
}

// line is a cosignature of c2sp.org/tlog-cosignature.
func (o *outside) line(note []byte) string {
	pub := o.key.Public().(ed25519.PublicKey)
	id := sha256.Sum256(append([]byte(o.name+"\n\x04"), pub...))
	body, _, _ := bytes.Cut(note, []byte("\n\n"))
	now := time.Now().Unix()
	text := fmt.Sprintf("cosignature/v1\ntime %d\n%s\n", now, body)
	raw := binary.BigEndian.AppendUint64(id[:4:4], uint64(now))
	raw = append(raw, ed25519.Sign(o.key, []byte(text))...)
	return "— " + o.name + " " + base64.StdEncoding.EncodeToString(raw) + "\n"
}

// witness is what the anchor roots say of it.
func (o *outside) witness(t testing.TB) proof.NamedWitness {
	t.Helper()
	key, err := gm.NewPublicKey(gm.Ed25519, o.key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return proof.NamedWitness{Name: o.name, Witness: checkpoint.Witness{Name: o.name, Key: key}}
}
