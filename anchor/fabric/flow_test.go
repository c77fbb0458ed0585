package fabric

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"qifeng/anchor"
	"qifeng/anchor/anchortest"
	"qifeng/proof"
	"qifeng/proof/fabric"
	"qifeng/proof/fabric/fabrictest"
)

// What a network does in the course of one Put, and what comes of it.
func TestFlow(t *testing.T) {
	cases := []struct {
		name  string
		bend  func(f *fake, chain *anchortest.Chain, cp anchor.Checkpoint)
		says  string // part of the error; "": a receipt
		kind  error  // that the error wraps
		after string // of a second Put with an honest network; "": a receipt
	}{
		{"honest", func(*fake, *anchortest.Chain, anchor.Checkpoint) {}, "", nil, ""},
		{"outcome lost, committed", func(f *fake, _ *anchortest.Chain, _ anchor.Checkpoint) {
			f.submit = func(commit func() Commit) (Commit, error) { commit(); return Commit{}, ErrUnknown }
		}, "", nil, ""},
		{"outcome lost, not committed", func(f *fake, _ *anchortest.Chain, _ anchor.Checkpoint) {
			f.submit = func(func() Commit) (Commit, error) { return Commit{}, ErrUnknown }
		}, "commit status unknown", ErrUnknown, ""},
		{"not ordered", func(f *fake, _ *anchortest.Chain, _ anchor.Checkpoint) {
			f.submit = func(func() Commit) (Commit, error) { return Commit{}, errDown }
		}, "down", errDown, ""},
		{"race lost to the same state", func(f *fake, chain *anchortest.Chain, cp anchor.Checkpoint) {
			f.submit = func(func() Commit) (Commit, error) {
				cp.Note = chain.Sealed(f.t, cp.Size, "arb-a", "court-a", "notary-a")
				f.theirs(cp)
				return Commit{Code: codeMVCC}, nil
			}
		}, "", nil, ""},
		{"race lost to a smaller state", func(f *fake, chain *anchortest.Chain, cp anchor.Checkpoint) {
			f.submit = func(commit func() Commit) (Commit, error) {
				f.submit = nil
				f.theirs(chain.At(f.t, cp.Size-1))
				return Commit{Code: codeMVCC}, nil
			}
		}, "", nil, ""},
		{"race lost for ever", func(f *fake, _ *anchortest.Chain, _ anchor.Checkpoint) {
			f.submit = func(func() Commit) (Commit, error) { return Commit{Code: codeMVCC}, nil }
		}, "moved on under each", nil, ""},
		{"invalidated", func(f *fake, _ *anchortest.Chain, _ anchor.Checkpoint) {
			f.submit = func(func() Commit) (Commit, error) { return Commit{Code: 10}, nil }
		}, "ENDORSEMENT_POLICY_FAILURE", nil, ""},
		{"stale head told", func(f *fake, chain *anchortest.Chain, cp anchor.Checkpoint) {
			f.theirs(chain.At(f.t, 1))
			old := f.state[fabric.HeadKey(originOf(cp))].Marshal()
			f.theirs(chain.At(f.t, 2))
			f.evaluate = func(_ string, args []string) ([]byte, error) {
				if args[0] == "head" {
					f.evaluate = nil
					return old, nil
				}
				return nil, nil
			}
		}, "", nil, ""},
		{"larger state there", func(f *fake, chain *anchortest.Chain, _ anchor.Checkpoint) {
			f.theirs(chain.At(f.t, chain.Grow(1)))
		}, "already", nil, "already"},
		{"peers apart at the read-back", func(f *fake, _ *anchortest.Chain, _ anchor.Checkpoint) {
			n := 0
			f.endorse = func(k *fabrictest.Call) (Endorsed, error) {
				if n++; string(k.Spec.Input.Args[0]) == "get" && n < 4 {
					return Endorsed{}, ErrApart
				}
				return Endorsed{}, nil
			}
		}, "", nil, ""},
		{"peers apart at the put", func(f *fake, _ *anchortest.Chain, _ anchor.Checkpoint) {
			n := 0
			f.endorse = func(k *fabrictest.Call) (Endorsed, error) {
				if n++; string(k.Spec.Input.Args[0]) == "put" && n < 4 {
					return Endorsed{}, ErrApart
				}
				return Endorsed{}, nil
			}
		}, "", nil, ""},
		{"peers apart for good", func(f *fake, _ *anchortest.Chain, _ anchor.Checkpoint) {
			f.endorse = func(k *fabrictest.Call) (Endorsed, error) { return Endorsed{}, ErrApart }
		}, "the peers are apart", nil, ""},
		{"a foreign organisation endorses too", func(f *fake, _ *anchortest.Chain, _ anchor.Checkpoint) {
			stranger := fabrictest.NewCA(f.t, "OtherMSP").Issue(f.t, "peer0", "peer")
			f.endorse = func(k *fabrictest.Call) (Endorsed, error) {
				k.Endorsers = append(k.Endorsers, stranger)
				return Endorsed{}, nil
			}
		}, "", nil, ""},
		{"too few endorse", func(f *fake, _ *anchortest.Chain, _ anchor.Checkpoint) {
			f.endorse = func(k *fabrictest.Call) (Endorsed, error) { k.Endorsers = k.Endorsers[:1]; return Endorsed{}, nil }
		}, "nothing was submitted", nil, ""},
		{"one peer tells a lying head", func(f *fake, chain *anchortest.Chain, cp anchor.Checkpoint) {
			f.theirs(chain.At(f.t, 2))
			fork := chain.Fork(f.t, 1)
			lie, err := statement(fork.At(f.t, 3))
			if err != nil {
				f.t.Fatal(err)
			}
			f.evaluate = func(_ string, args []string) ([]byte, error) {
				if args[0] == "head" {
					return lie.Marshal(), nil
				}
				return nil, nil
			}
		}, "enough of them do not", nil, ""},
		{"one peer tells of a conflict", func(f *fake, chain *anchortest.Chain, cp anchor.Checkpoint) {
			f.endorse = func(k *fabrictest.Call) (Endorsed, error) {
				return Endorsed{}, &Rejection{Messages: []string{`CONFLICT {"root":"another"}`}}
			}
		}, "moved on", nil, ""},
		{"a lying block", func(f *fake, _ *anchortest.Chain, _ anchor.Checkpoint) {
			f.submit = func(commit func() Commit) (Commit, error) {
				c := commit()
				good := f.blocks[c.Block]
				bad := f.Block(c.Block, [32]byte{}, f.Envelope([]byte("another's")))
				f.evaluate = func(chaincode string, _ []string) ([]byte, error) {
					f.blocks[c.Block] = bad
					return nil, nil
				}
				f.t.Cleanup(func() { f.blocks[c.Block] = good })
				return c, nil
			}
		}, "does not verify", fabric.ErrReceipt, "skip"},
		{"no such block", func(f *fake, _ *anchortest.Chain, _ anchor.Checkpoint) {
			f.submit = func(commit func() Commit) (Commit, error) {
				c := commit()
				f.evaluate = func(chaincode string, _ []string) ([]byte, error) {
					if chaincode == "qscc" {
						return nil, errDown
					}
					return nil, nil
				}
				return c, nil
			}
		}, "fetching block 5", errDown, ""},
		{"block too large", func(f *fake, _ *anchortest.Chain, _ anchor.Checkpoint) {
			f.submit = func(commit func() Commit) (Commit, error) {
				c := commit()
				b := f.blocks[c.Block]
				f.blocks[c.Block] = f.Block(c.Block, [32]byte{}, b.Data.Data[0], bytes.Repeat([]byte("x"), 30_000))
				return c, nil
			}
		}, "a channel of its own", nil, "a channel of its own"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			f, d := newFake(t)
			chain := anchortest.NewChain(t, "flow")
			cp := chain.At(t, chain.Grow(4))
			c.bend(f, chain, cp)
			check(t, d, cp, chain, c.says, c.kind)
			f.evaluate, f.endorse, f.submit, d.behind = nil, nil, nil, 0
			if c.after != "skip" {
				check(t, d, cp, chain, c.after, nil)
			}
		})
	}
}

func originOf(cp anchor.Checkpoint) string {
	o, _, _ := bytes.Cut(cp.Note, []byte("\n"))
	return string(o)
}

func check(t *testing.T, d *driver, cp anchor.Checkpoint, ledger anchor.Ledger, says string, kind error) {
	t.Helper()
	r, err := d.Put(t.Context(), cp, ledger)
	var conflict *anchor.Conflict
	switch {
	case errors.As(err, &conflict), errors.Is(err, anchor.ErrRefused):
		t.Fatal(err)
	case says == "" && err != nil:
		t.Fatal(err)
	case says == "":
		want, err := statement(cp)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fabric.Verify(r.Data, want, d.channel); err != nil || !bytes.Equal(r.Note, cp.Note) {
			t.Fatal(err)
		}
	case err == nil || !strings.Contains(err.Error(), says) || kind != nil && !errors.Is(err, kind):
		t.Fatalf("got %v, want an error that says %q and is %v", err, says, kind)
	}
}

func TestConflict(t *testing.T) {
	for _, size := range []uint64{5, 7} { // the same size; a larger one that does not grow out of it
		f, d := newFake(t)
		chain := anchortest.NewChain(t, "conflict")
		chain.Grow(4)
		f.theirs(chain.At(t, 5))
		fork := chain.Fork(t, 3)
		fork.Grow(2)
		cp := fork.At(t, size)
		_, err := d.Put(t.Context(), cp, fork)
		var conflict *anchor.Conflict
		if !errors.As(err, &conflict) {
			t.Fatalf("size %d: %v", size, err)
		}
		if conflict.Size != 5 || !bytes.Equal(conflict.Ours, cp.Note) || !strings.Contains(string(conflict.Theirs), `"endorsements"`) {
			t.Errorf("size %d: %+v", size, conflict)
		}
	}
}

func TestRefusals(t *testing.T) {
	for word, refused := range map[string]bool{"DENIED": true, "UNSEALED": true, "POLICY": true, "INVALID": true, "TAMPERED": true, "INTERNAL": false, "DENIEDX": false} {
		f, d := newFake(t)
		chain := anchortest.NewChain(t, "refused")
		f.endorse = func(*fabrictest.Call) (Endorsed, error) {
			return Endorsed{}, &Rejection{Messages: []string{word + " because"}}
		}
		_, err := d.Put(t.Context(), chain.At(t, 1), chain)
		if err == nil || errors.Is(err, anchor.ErrRefused) != refused {
			t.Errorf("%s: %v", word, err)
		}
	}
	_, d := newFake(t)
	chain := anchortest.NewChain(t, "refused")
	cp := chain.At(t, chain.Grow(1))
	cp.Size--
	if _, err := d.Put(t.Context(), cp, chain); !errors.Is(err, anchor.ErrRefused) {
		t.Errorf("a note of another checkpoint: %v", err)
	}
}

func TestCancelled(t *testing.T) {
	f, d := newFake(t)
	chain := anchortest.NewChain(t, "cancelled")
	ctx, cancel := context.WithCancel(t.Context())
	f.endorse = func(k *fabrictest.Call) (Endorsed, error) {
		if string(k.Spec.Input.Args[0]) == "get" {
			cancel()
			return Endorsed{}, ErrApart
		}
		return Endorsed{}, nil
	}
	if _, err := d.Put(ctx, chain.At(t, 1), chain); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Who lost a race waits before the next put, within the time that is left, and
// forgets it where nobody else comes.
func TestStandsBack(t *testing.T) {
	f, d := newFake(t)
	chain := anchortest.NewChain(t, "behind")
	f.submit = func(commit func() Commit) (Commit, error) {
		f.submit = nil
		return Commit{Code: codeMVCC}, nil
	}
	check(t, d, chain.At(t, 1), chain, "", nil)
	if d.behind != minBehind {
		t.Fatalf("after a lost race it stands %v back", d.behind)
	}
	d.behind = maxBehind
	for last := d.behind; d.behind > time.Millisecond; last = d.behind {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if _, err := d.Put(ctx, chain.At(t, chain.Grow(1)), chain); err != nil {
			t.Fatal(err) // it waited beyond its deadline
		}
		cancel()
		if d.behind >= last {
			t.Fatalf("%v back after %v", d.behind, last)
		}
	}
	d.behind = 1000 * time.Hour
	check(t, d, chain.At(t, chain.Size()), chain, "", nil) // it is there: nothing to wait for
}

func TestNewRefusesChannel(t *testing.T) {
	f, _ := newFake(t)
	c := f.Pinned()
	c.Organisations = slices.Clone(c.Organisations)[:1]
	if _, err := New(f, c, nil); err == nil {
		t.Error("a channel that no receipt could verify under: taken")
	}
}

// With a policy a note is put with what meets its quorum, so that a block in which
// large consortia race still makes a receipt; what the receipt covers is the full note.
func TestShorten(t *testing.T) {
	chain := anchortest.NewChain(t, "short")
	cp := chain.At(t, chain.Grow(3))
	var sizes []int
	for _, options := range [][]Option{nil, {Shorten(chain.Policy)}} {
		f, _ := newFake(t)
		a, err := New(f, f.Pinned(), nil, options...)
		if err != nil {
			t.Fatal(err)
		}
		r, err := a.Put(t.Context(), cp, chain)
		if err != nil || !bytes.Equal(r.Note, cp.Note) {
			t.Fatalf("%v", err)
		}
		_, err = proof.VerifyAnchor(&proof.Anchor{Kind: proof.AnchorFabric, Name: f.Pinned().Name, Checkpoint: r.Note, Receipt: r.Data},
			chain.Policy, &proof.AnchorRoots{Chain: chain.Policy.Chain, Fabric: []fabric.Channel{*f.Pinned()}})
		if err != nil {
			t.Error(err)
		}
		sizes = append(sizes, len(r.Data))
	}
	// Four log lines and one seal of four are left out, in base64.
	if saved := sizes[0] - sizes[1]; saved < 4*100+2*100 {
		t.Errorf("a receipt of %d bytes became one of %d", sizes[0], sizes[1])
	}
	// What is not sealed by this policy is not put.
	f, _ := newFake(t)
	a, err := New(f, f.Pinned(), nil, Shorten(chain.Policy))
	if err != nil {
		t.Fatal(err)
	}
	cp.Note = chain.Sealed(t, cp.Size, "arb-a", "court-a")
	if _, err := a.Put(t.Context(), cp, chain); !errors.Is(err, anchor.ErrRefused) || len(f.calls) != 0 {
		t.Errorf("two seals of three: %v", err)
	}
}
