package checkpoint

import (
	"fmt"
	"slices"
	"strings"

	"qifeng/internal/gm"
	"qifeng/proof/merkle"
)

// A Policy is what a court trusts: one chain, and its members, keys and rule,
// epoch by epoch. It comes to the court by itself; one found in a proof or on a
// node is never trusted.
type Policy struct {
	Chain   string        // the chain id, whose end is the SM3 half of Genesis
	Genesis merkle.Digest // plain pair (merkle.Sum) of the canonical genesis bytes
	Epochs  []Epoch       // rising First, the first of them at size 1
}

// An Epoch governs the ledger sizes from First up to the next epoch's First.
type Epoch struct {
	First   uint64
	Quorum  Quorum
	Members []Member // sorted by id
	Pins    []Pin    // rising sizes within the epoch
}

// A Pin is a root that the policy itself states for a ledger size. With a
// consistency path to it, later theft of retired keys is harmless.
type Pin struct {
	Size uint64
	Root merkle.Digest
}

// EpochOf returns the epoch by which a checkpoint of this size is judged.
func (p *Policy) EpochOf(size uint64) (*Epoch, error) {
	for i := len(p.Epochs) - 1; i >= 0; i-- {
		if e := &p.Epochs[i]; size >= e.First && e.First > 0 {
			return e, nil
		}
	}
	return nil, fmt.Errorf("%w: ledger size %d", ErrEpoch, size)
}

// Member finds a member of the epoch.
func (e *Epoch) Member(id string) (Member, bool) {
	for _, m := range e.Members {
		if m.ID == id {
			return m, true
		}
	}
	return Member{}, false
}

// Validate checks everything that ParsePolicy checks besides the text.
func (p *Policy) Validate() error {
	if err := CheckChainID(p.Chain); err != nil {
		return err
	}
	if err := checkPair(p.Genesis); err != nil {
		return fmt.Errorf("genesis: %w", err)
	}
	if want := ChainID(p.Chain[:len(p.Chain)-9], p.Genesis); want != p.Chain {
		return fmt.Errorf("%w: chain %s is not named after its genesis, which makes it %s", ErrPolicy, p.Chain, want)
	}
	if n := len(p.Epochs); n < 1 || n > MaxEpochs {
		return fmt.Errorf("%w: %d epochs, want 1 to %d", ErrPolicy, n, MaxEpochs)
	}
	if p.Epochs[0].First != 1 {
		return fmt.Errorf("%w: the first epoch begins at size %d, want 1, the size with the genesis alone", ErrPolicy, p.Epochs[0].First)
	}
	// A key has one owner and one use for ever: a retired key that came back
	// elsewhere would let its old signatures speak for somebody else.
	owners := make(map[gm.PublicKey]keyOwner)
	for i := range p.Epochs {
		last := uint64(MaxSize)
		if i+1 < len(p.Epochs) {
			last = p.Epochs[i+1].First - 1
		}
		e := &p.Epochs[i]
		if e.First > last || last > MaxSize {
			return fmt.Errorf("%w: epoch %d ends at size %d; firsts must rise, up to %d", ErrPolicy, e.First, last, uint64(MaxSize))
		}
		if err := e.validate(p.Chain, last, owners); err != nil {
			return fmt.Errorf("epoch %d: %w", e.First, err)
		}
	}
	return nil
}

// A keyOwner is a member's one place for a key.
type keyOwner struct {
	member string
	kind   KeyKind
}

func (e *Epoch) validate(chain string, last uint64, owners map[gm.PublicKey]keyOwner) error {
	if err := e.Quorum.Validate(e.Members); err != nil {
		return err
	}
	if !slices.IsSortedFunc(e.Members, compareMembers) {
		return fmt.Errorf("%w: the members are not sorted by id", ErrPolicy)
	}
	if _, err := e.lineKeys(Origin(chain)); err != nil {
		return err
	}
	for _, m := range e.Members {
		for _, k := range m.keys() {
			here := keyOwner{m.ID, k.kind}
			if o, ok := owners[k.key]; ok && o != here {
				return fmt.Errorf("%w: the %s key of %s is also the %s key of %s", ErrPolicy, k.kind, m.ID, o.kind, o.member)
			}
			owners[k.key] = here
		}
	}
	if len(e.Pins) > MaxPins {
		return fmt.Errorf("%w: %d pins, at most %d", ErrPolicy, len(e.Pins), MaxPins)
	}
	from := e.First
	for _, pin := range e.Pins {
		if pin.Size < from || pin.Size > last {
			return fmt.Errorf("%w: pin of size %d, want %d to %d", ErrPolicy, pin.Size, from, last)
		}
		if err := checkPair(pin.Root); err != nil {
			return fmt.Errorf("pin of size %d: %w", pin.Size, err)
		}
		from = pin.Size + 1
	}
	return nil
}

// pin returns the pin of a size, if the epoch has one.
func (e *Epoch) pin(size uint64) (Pin, bool) {
	for _, p := range e.Pins {
		if p.Size == size {
			return p, true
		}
	}
	return Pin{}, false
}

// checkPair refuses a pair with an unset half: a hash of zeros is a forgotten
// field, never a digest.
func checkPair(d merkle.Digest) error {
	if d.SM3 == [32]byte{} || d.SHA256 == [32]byte{} {
		return fmt.Errorf("%w: a digest pair with an empty half", ErrPolicy)
	}
	return nil
}

// A lineID is how a signature line names its key.
type lineID struct {
	name string
	id   uint32
}

// A lineKey is a key whose lines Open verifies.
type lineKey struct {
	member int // index into Epoch.Members
	kind   KeyKind
	key    gm.PublicKey
}

// lineKeys maps the names that lines may bear to the epoch's keys. It refuses
// two keys of one (name, key id), or one key at two places: key ids have 32
// bits, so a member could search for a log key that answers to another's lines.
func (e *Epoch) lineKeys(origin string) (map[lineID]lineKey, error) {
	if n := len(e.Members); n > MaxMembers {
		return nil, fmt.Errorf("%w: %d members, at most %d", ErrPolicy, n, MaxMembers)
	}
	known := make(map[lineID]lineKey, 3*len(e.Members))
	used := make(map[gm.PublicKey]bool, 5*len(e.Members))
	for i, m := range e.Members {
		if err := m.validate(); err != nil {
			return nil, err
		}
		for _, k := range m.keys() {
			if used[k.key] {
				return nil, fmt.Errorf("%w: the %s key of %s stands at two places", ErrPolicy, k.kind, m.ID)
			}
			used[k.key] = true
			id, ok := k.lineID(origin, m.ID)
			if !ok {
				continue
			}
			if o, ok := known[id]; ok {
				return nil, fmt.Errorf("%w: the %s key of %s has the key id of the %s key of %s; one of them must be made anew",
					ErrPolicy, k.kind, m.ID, o.kind, e.Members[o.member].ID)
			}
			known[id] = lineKey{member: i, kind: k.kind, key: k.key}
		}
	}
	return known, nil
}

// lineID is how lines name this key; only the three kinds of seal lines have one.
func (k memberKey) lineID(origin, member string) (lineID, bool) {
	switch k.kind {
	case KeyLog:
		return lineID{origin, keyID(origin, typeLog, k.key)}, true
	case KeySealEd25519:
		return lineID{member, keyID(member, typeCosignature, k.key)}, true
	case KeySealSM2:
		return lineID{member, keyID(member, typeSM2, k.key)}, true
	default:
		return lineID{}, false
	}
}

// Marshal validates the policy and writes its text, without comments.
func (p *Policy) Marshal() ([]byte, error) {
	if err := p.Validate(); err != nil {
		return nil, fmt.Errorf("writing the policy: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nchain %s\ngenesis %s\n", policyHeader, p.Chain, formatPair(p.Genesis))
	for i := range p.Epochs {
		p.Epochs[i].write(&b)
	}
	if b.Len() > MaxPolicy {
		return nil, fmt.Errorf("writing the policy: %w: %d bytes, at most %d", ErrPolicy, b.Len(), MaxPolicy)
	}
	return []byte(b.String()), nil
}

func (e *Epoch) write(b *strings.Builder) {
	fmt.Fprintf(b, "epoch %d\n", e.First)
	fmt.Fprintf(b, "quorum %d of %d\n", e.Quorum.Members, len(e.Members))
	fmt.Fprintf(b, "neutral-roles %d\n", e.Quorum.NeutralRoles)
	for _, r := range e.Quorum.Require {
		fmt.Fprintf(b, "require %s %d\n", r.Role, r.Count)
	}
	for _, m := range e.Members {
		fmt.Fprintf(b, "member %s %s\n", m.ID, m.Role)
		for _, k := range m.keys() {
			fmt.Fprintf(b, "%s %s\n", k.kind, k.key)
		}
	}
	for _, pin := range e.Pins {
		fmt.Fprintf(b, "pin %d %s\n", pin.Size, formatPair(pin.Root))
	}
}

func formatPair(d merkle.Digest) string { return fmt.Sprintf("%x %x", d.SM3, d.SHA256) }
