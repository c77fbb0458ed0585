package fsck

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"qifeng/evidence"
	"qifeng/evidence/canon"
	"qifeng/internal/gm"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// consortium is what the genesis says.
type consortium struct {
	raw     []byte // canonical
	genesis *evidence.Genesis
	chain   string
	origin  string
	policy  *checkpoint.Policy // that of the home, which may pin roots
	ids     []string           // sorted
	cards   map[string]*evidence.Card
	pins    map[uint64]merkle.Digest
}

// checkHome reads the files that everything else is judged by, and the keys.
func (c *checker) checkHome() error {
	if err := c.readGenesis(); err != nil {
		return err
	}
	if err := c.checkPolicy(); err != nil {
		return err
	}
	if err := c.checkCard(); err != nil {
		return err
	}
	return c.checkKeys()
}

func (c *checker) readGenesis() error {
	path := c.home.Genesis
	raw, err := c.readSmall(path)
	if err != nil {
		return err
	}
	if raw, err = canon.Canonicalize(raw, maxDocument); err != nil {
		return wrong(CodeGenesis, c.rel(path), "%v", err)
	}
	g, err := evidence.ParseGenesis(raw)
	if err != nil {
		return wrong(CodeGenesis, c.rel(path), "%v", err)
	}
	cons := &consortium{raw: raw, genesis: g, chain: g.ChainID(), origin: checkpoint.Origin(g.ChainID()),
		cards: map[string]*evidence.Card{}, pins: map[uint64]merkle.Digest{}}
	for _, card := range g.Cards {
		cons.ids = append(cons.ids, card.ID)
		cons.cards[card.ID] = card
	}
	slices.Sort(cons.ids)
	if cons.cards[c.home.Self] == nil {
		return wrong(CodeGenesis, c.rel(path), "%s is no member in it", c.home.Self)
	}
	c.cons, c.report.Chain = cons, cons.chain
	return nil
}

// checkPolicy holds the policy against the one that follows from the genesis.
// Roots may be pinned in it besides.
func (c *checker) checkPolicy() error {
	path := c.home.Policy
	raw, err := c.readSmall(path)
	if err != nil {
		return err
	}
	p, err := checkpoint.ParsePolicy(raw)
	if err != nil {
		return wrong(CodePolicy, c.rel(path), "%v", err)
	}
	want, err := proof.GenesisPolicy(c.cons.genesis)
	if err != nil {
		return wrong(CodeGenesis, c.rel(c.home.Genesis), "%v", err)
	}
	if p.Chain != want.Chain || p.Genesis != want.Genesis {
		return wrong(CodePolicy, c.rel(path), "it is of chain %s with genesis %s, the genesis here is of %s with %s", p.Chain, p.Genesis, want.Chain, want.Genesis)
	}
	first := p.Epochs[0]
	for _, e := range p.Epochs {
		for _, pin := range e.Pins {
			c.cons.pins[pin.Size] = pin.Root
		}
	}
	first.Pins = nil
	same := *want
	same.Epochs = []checkpoint.Epoch{first}
	a, errA := same.Marshal()
	b, errB := want.Marshal()
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		return wrong(CodePolicy, c.rel(path), "members, keys or quorum of its first epoch are not those of the genesis")
	}
	c.cons.policy = p
	return nil
}

func (c *checker) checkCard() error {
	raw, err := c.readSmall(c.home.Card)
	if err != nil {
		return err
	}
	if !bytes.Equal(raw, c.cons.cards[c.home.Self].Signed.Raw) {
		return wrong(CodeCard, c.rel(c.home.Card), "its bytes are not those of the card of %s in the genesis", c.home.Self)
	}
	return nil
}

// checkKeys looks at each key file: there, its owner's alone, and the key that
// the genesis states. Nothing of a key is kept or shown.
func (c *checker) checkKeys() error {
	card := c.cons.cards[c.home.Self]
	k := c.home.Keys
	for _, f := range []struct {
		path string
		want gm.PublicKey
		name string
	}{{k.Intake, card.Intake, "intake"}, {k.SealSM2, card.SealSM2, "SM2 seal"}, {k.SealEd25519, card.SealEd25519, "Ed25519 seal"},
		{k.Log, card.Log, "log"}, {k.Admin, card.Admin, "admin"}} {
		key, err := gm.LoadPrivateKey(f.path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && f.path == k.Admin:
			c.note(NoteAdminGone, c.rel(f.path), "")
			continue
		case errors.Is(err, fs.ErrNotExist):
			return wrong(CodeMissing, c.rel(f.path), "there is no %s key", f.name)
		case err != nil:
			return wrong(CodeKey, c.rel(f.path), "%v", err)
		case key.Public() != f.want:
			return wrong(CodeKey, c.rel(f.path), "it is not the %s key on the card of %s", f.name, c.home.Self)
		}
		if err := c.keyForm(f.path, key); err != nil {
			return err
		}
	}
	for _, path := range k.Users {
		if _, err := gm.LoadPrivateKey(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return wrong(CodeKey, c.rel(path), "%v", err)
		}
	}
	if err := c.checkWitness(); err != nil {
		return err
	}
	return c.checkCometKeys(card)
}

// keyForm compares a key file, from its PEM block on, with the only form that it is
// written in: the reader of keys forgives what does not matter to it.
func (c *checker) keyForm(path string, key *gm.PrivateKey) error {
	raw, err := c.readSmall(path)
	if err != nil {
		return err
	}
	want, err := key.MarshalPEM()
	if err != nil {
		return err
	}
	if i := bytes.Index(raw, []byte("-----BEGIN")); i < 0 || !bytes.Equal(bytes.TrimSpace(raw[i:]), bytes.TrimSpace(want)) {
		return wrong(CodeKey, c.rel(path), "it holds the right key and was changed all the same: its form is not the one that keys are written in")
	}
	return nil
}

// checkCometKeys reads CometBFT's two key files by their form, not by its code.
func (c *checker) checkCometKeys(card *evidence.Card) error {
	pub, err := c.cometKey(c.home.Keys.Consensus)
	if err != nil {
		return err
	}
	if !bytes.Equal(pub, card.Consensus.Bytes()) {
		return wrong(CodeKey, c.rel(c.home.Keys.Consensus), "it is not the consensus key on the card of %s", c.home.Self)
	}
	if pub, err = c.cometKey(c.home.Keys.Node); err != nil {
		return err
	}
	sum := sha256.Sum256(pub)
	if id := hex.EncodeToString(sum[:20]); id != card.NodeID {
		return wrong(CodeKey, c.rel(c.home.Keys.Node), "it is of node %s, the card of %s says %s", id, c.home.Self, card.NodeID)
	}
	return nil
}

func (c *checker) cometKey(path string) (ed25519.PublicKey, error) {
	raw, err := c.private(path)
	if err != nil {
		return nil, err
	}
	type half struct {
		Type  string `json:"type"`
		Value []byte `json:"value"`
	}
	var f struct {
		Address string `json:"address"` // of the consensus key only, as the public half
		Public  *half  `json:"pub_key"`
		Private half   `json:"priv_key"`
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	// The error is not shown: it may hold some of the file.
	if d.Decode(&f) != nil || d.More() || f.Private.Type != "tendermint/PrivKeyEd25519" || len(f.Private.Value) != ed25519.PrivateKeySize {
		return nil, wrong(CodeKey, c.rel(path), "it does not hold one Ed25519 key in CometBFT's form")
	}
	pub := ed25519.NewKeyFromSeed(f.Private.Value[:ed25519.SeedSize]).Public().(ed25519.PublicKey)
	sum := sha256.Sum256(pub)
	if !bytes.Equal(pub, f.Private.Value[ed25519.SeedSize:]) || f.Public != nil &&
		(f.Public.Type != "tendermint/PubKeyEd25519" || !bytes.Equal(pub, f.Public.Value) || f.Address != strings.ToUpper(hex.EncodeToString(sum[:20]))) ||
		f.Public == nil && path == c.home.Keys.Consensus {
		return nil, wrong(CodeKey, c.rel(path), "its private half, its public half and its address do not belong together")
	}
	return pub, nil
}

// private reads a file that nobody else may read.
func (c *checker) private(path string) ([]byte, error) {
	st, err := os.Stat(path)
	if err == nil && st.Mode().Perm()&0o077 != 0 {
		return nil, wrong(CodeKey, c.rel(path), "others may read it (mode %04o): chmod 600 %s", st.Mode().Perm(), path)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return c.readSmall(path)
}

// guardRecord is what the guard file says.
type guardRecord struct {
	size uint64
	root merkle.Digest
	time int64
}

var guardFields = canon.Fields("origin", "root", "size", "time", "v")

func parseGuard(raw []byte) (origin string, g guardRecord, err error) {
	d := canon.NewDecoder(bytes.TrimSuffix(raw, []byte("\n")))
	for key := range d.Object(guardFields) {
		switch key {
		case "origin":
			origin = d.String(checkpoint.MaxChainID + 16)
		case "root":
			g.root = d.Digest()
		case "size":
			g.size = d.Int(0, checkpoint.MaxSize)
		case "time":
			g.time = int64(d.Int(0, canon.MaxInt))
		case "v":
			d.Int(1, 1)
		}
	}
	return origin, g, d.End()
}

// checkGuard holds the guard against the ledger and this member's newest seal.
func (c *checker) checkGuard(l *ledger) error {
	path := c.home.Keys.Guard
	raw, err := c.private(path)
	if err != nil {
		return err
	}
	origin, g, err := parseGuard(raw)
	name := c.rel(path)
	switch {
	case err != nil:
		return wrong(CodeGuard, name, "%v", err)
	case origin != c.cons.origin:
		return wrong(CodeGuard, name, "it is of %q, this chain is %q", origin, c.cons.origin)
	case g.size > l.size:
		return wrong(CodeGuard, name, "these keys have sealed size %d, the ledger has %d entries", g.size, l.size).at("size", g.size)
	case g.size == 0 && g.root != merkle.EmptyRoot():
		return wrong(CodeGuard, name, "size 0 has another root than that of no entries")
	}
	if g.size > 0 {
		root, err := l.rootAt(g.size)
		if err != nil {
			return err
		}
		if root != g.root {
			return wrong(CodeGuard, name, "these keys have sealed root %s, the ledger's is %s", g.root, root).at("size", g.size)
		}
	}
	if own, ok := l.newest[c.home.Self]; ok && (own.size > g.size || own.time > g.time) {
		return wrong(CodeGuard, name, "it knows size %d sealed at %d, the ledger's store holds a seal of these keys on size %d given at %d", g.size, g.time, own.size, own.time).at("size", own.size)
	}
	return nil
}

// unlessRestored takes what is wrong with guard or last vote for a note where the
// home is marked as restored: its node trusts neither, and keeps still until it
// has made both again.
func (c *checker) unlessRestored(err error) error {
	var p *Problem
	if _, missing := os.Lstat(c.data("restored")); missing != nil || !errors.As(err, &p) {
		return err
	}
	c.note(NoteRestored, p.File, "%s", p.Detail)
	return nil
}

// plain is a pair as 64 bytes: SM3, then SHA-256.
func plain(d merkle.Digest) []byte {
	return append(slices.Clone(d.SM3[:]), d.SHA256[:]...)
}

func unplain(b []byte) (merkle.Digest, error) {
	if len(b) != 64 {
		return merkle.Digest{}, fmt.Errorf("a digest pair of %d bytes", len(b))
	}
	return merkle.Digest{SM3: [32]byte(b[:32]), SHA256: [32]byte(b[32:])}, nil
}
