package evidence

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"qifeng/evidence/canon"
	"qifeng/internal/gm"
	"qifeng/proof/checkpoint"
	"qifeng/proof/merkle"
)

// Card is a member's card: who it is, its keys and where its node listens,
// signed with its own admin key before there is a chain.
type Card struct {
	Admin       gm.PublicKey // SM2: key entries, this card
	API         string       // base URL, may be empty
	Consensus   gm.PublicKey // Ed25519, CometBFT's
	ID          string       // member id
	Intake      gm.PublicKey // SM2: receipts, batch headers
	Log         gm.PublicKey // Ed25519, C2SP 0x01
	Name        string       // the organisation's name, for people
	NodeID      string       // CometBFT p2p id, 40 hex digits
	Peer        string       // host:port of the p2p listener
	Role        checkpoint.Role
	SealEd25519 gm.PublicKey // C2SP 0x04
	SealSM2     gm.PublicKey

	Signed *Signed
}

var cardFields = canon.Fields("admin", "api?", "consensus", "id", "intake", "log", "name", "node_id", "peer", "role",
	"seal_ed25519", "seal_sm2", "v")

// ParseCard reads a member card and checks its signature with the admin key
// that it states.
func ParseCard(raw []byte) (*Card, error) {
	s, err := ParseSigned(raw, TypeCard, MaxCardBytes)
	if err != nil {
		return nil, err
	}
	d := canon.NewDecoder(s.Body)
	c := &Card{Signed: s}
	for key := range d.Object(cardFields) {
		c.decodeField(d, key)
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("card: %w", err)
	}
	if err := s.Verify(NoChain, c.Admin); err != nil {
		return nil, fmt.Errorf("card of %s: %w", c.ID, err)
	}
	return c, nil
}

func (c *Card) decodeField(d *canon.Decoder, key string) {
	switch key {
	case "admin":
		c.Admin = decodePublicKey(d, gm.SM2)
	case "api":
		c.API = d.String(MaxAddressBytes)
		if u, err := url.Parse(c.API); d.Err() == nil && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
			d.Fail("is not an http or https URL")
		}
	case "consensus":
		c.Consensus = decodePublicKey(d, gm.Ed25519)
	case "id":
		c.ID = decodeMember(d, "")
	case "intake":
		c.Intake = decodePublicKey(d, gm.SM2)
	case "log":
		c.Log = decodePublicKey(d, gm.Ed25519)
	case "name":
		if c.Name = d.String(MaxNameBytes); c.Name == "" {
			d.Fail("is empty; it is the organisation's name, for people")
		}
	case "node_id":
		c.NodeID = d.Hex(20)
	case "peer":
		c.Peer = d.String(MaxAddressBytes)
		if d.Err() == nil && !isHostPort(c.Peer) {
			d.Fail("is not host:port")
		}
	case "role":
		role, err := checkpoint.ParseRole(d.String(32))
		if d.Err() == nil && err != nil {
			d.Fail("%v", err)
		}
		c.Role = role
	case "seal_ed25519":
		c.SealEd25519 = decodePublicKey(d, gm.Ed25519)
	case "seal_sm2":
		c.SealSM2 = decodePublicKey(d, gm.SM2)
	case "v":
		d.Int(Version, Version)
	}
}

// isHostPort accepts a host name or address and a port, and nothing else.
func isHostPort(s string) bool {
	u, err := url.Parse("tcp://" + s)
	if err != nil || u.Host != s || u.Hostname() == "" {
		return false
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && n > 0 && strconv.FormatUint(n, 10) == u.Port()
}

// Sign returns the canonical signed card.
func (c *Card) Sign(admin gm.Signer) ([]byte, error) {
	w := &canon.Writer{}
	w.Object().Key("admin").String(c.Admin.String())
	putString(w, "api", c.API)
	w.Key("consensus").String(c.Consensus.String()).Key("id").String(c.ID).Key("intake").String(c.Intake.String()).
		Key("log").String(c.Log.String()).Key("name").String(c.Name).Key("node_id").String(c.NodeID).
		Key("peer").String(c.Peer).Key("role").String(string(c.Role)).
		Key("seal_ed25519").String(c.SealEd25519.String()).Key("seal_sm2").String(c.SealSM2.String()).
		Key("v").Int(Version).EndObject()
	raw, err := sign(TypeCard, NoChain, w.Bytes(), admin)
	if err != nil {
		return nil, err
	}
	if _, err := ParseCard(raw); err != nil {
		return nil, err
	}
	return raw, nil
}

// Genesis is what a consortium agrees on before its chain begins. Its
// canonical bytes are entry 0 of the ledger; they are not signed: the chain id
// and the trust policy hold their digests.
type Genesis struct {
	Cards     []*Card // sorted by id
	CreatedAt time.Time
	Name      string
	Quorum    checkpoint.Quorum

	Raw []byte // the canonical bytes that it was parsed from
}

var (
	genesisFields = canon.Fields("cards", "created_at", "name", "quorum", "v")
	quorumFields  = canon.Fields("members", "neutral_roles", "require")
	requireFields = canon.Fields("count", "role")
	chainName     = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)
)

// ParseGenesis reads canonical genesis bytes, checks every card's signature,
// that ids and keys are distinct, and that the seal quorum is sound.
func ParseGenesis(raw []byte) (*Genesis, error) {
	if len(raw) > MaxGenesisBytes {
		return nil, fmt.Errorf("genesis: is %d bytes long; at most %d are read", len(raw), MaxGenesisBytes)
	}
	d := canon.NewDecoder(raw)
	g := &Genesis{Raw: raw}
	for key := range d.Object(genesisFields) {
		switch key {
		case "cards":
			for range d.Array(1, MaxMembers) {
				g.Cards = append(g.Cards, decodeCard(d, raw))
			}
		case "created_at":
			g.CreatedAt = d.Time()
		case "name":
			if g.Name = d.String(64); d.Err() == nil && !chainName.MatchString(g.Name) {
				d.Fail("is not 1 to 40 of a-z 0-9 - beginning with a letter")
			}
		case "quorum":
			g.Quorum = decodeQuorum(d)
		case "v":
			d.Int(Version, Version)
		}
	}
	if err := d.End(); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	if err := g.check(); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	return g, nil
}

func decodeCard(d *canon.Decoder, data []byte) *Card {
	s := decodeSigned(d, data, TypeCard)
	if d.Err() != nil {
		return nil
	}
	c, err := ParseCard(s.Raw)
	if err != nil {
		d.Fail("%v", err)
	}
	return c
}

func decodeQuorum(d *canon.Decoder) (q checkpoint.Quorum) {
	for key := range d.Object(quorumFields) {
		switch key {
		case "members":
			q.Members = int(d.Int(1, MaxMembers))
		case "neutral_roles":
			q.NeutralRoles = int(d.Int(0, 3))
		case "require":
			for range d.Array(0, 4) {
				q.Require = append(q.Require, decodeRequire(d))
			}
		}
	}
	return q
}

func decodeRequire(d *canon.Decoder) (r checkpoint.Require) {
	for key := range d.Object(requireFields) {
		switch key {
		case "count":
			r.Count = int(d.Int(1, MaxMembers))
		case "role":
			role, err := checkpoint.ParseRole(d.String(32))
			if d.Err() == nil && err != nil {
				d.Fail("%v", err)
			}
			r.Role = role
		}
	}
	return r
}

func (g *Genesis) check() error {
	keys := map[gm.PublicKey]string{}
	nodes := map[string]string{}
	for i, c := range g.Cards {
		if i > 0 && g.Cards[i-1].ID >= c.ID {
			return fieldError(fmt.Sprintf("cards[%d]", i), "cards are sorted by id, each id once; %q follows %q", c.ID, g.Cards[i-1].ID)
		}
		if other, ok := nodes[c.NodeID]; ok {
			return fieldError(fmt.Sprintf("cards[%d].node_id", i), "is also the node id of %s", other)
		}
		nodes[c.NodeID] = c.ID
		for _, k := range []gm.PublicKey{c.Admin, c.Consensus, c.Intake, c.Log, c.SealEd25519, c.SealSM2} {
			if other, ok := keys[k]; ok {
				return fieldError(fmt.Sprintf("cards[%d]", i), "has a key that %s has too; every key serves one purpose of one member", other)
			}
			keys[k] = c.ID
		}
	}
	return g.Quorum.Validate(g.Members())
}

// Members returns the members in the form of the trust policy, sorted by id.
func (g *Genesis) Members() []checkpoint.Member {
	out := make([]checkpoint.Member, len(g.Cards))
	for i, c := range g.Cards {
		out[i] = checkpoint.Member{ID: c.ID, Role: c.Role, SealSM2: c.SealSM2, SealEd25519: c.SealEd25519,
			Log: c.Log, Intake: c.Intake, Admin: c.Admin}
	}
	return out
}

// Card returns the card of a member.
func (g *Genesis) Card(id string) (*Card, bool) {
	for _, c := range g.Cards {
		if c.ID == id {
			return c, true
		}
	}
	return nil, false
}

// Marshal returns the canonical bytes, or why they would not be a genesis.
func (g *Genesis) Marshal() ([]byte, error) {
	w := &canon.Writer{}
	w.Object().Key("cards").Array()
	for _, c := range g.Cards {
		w.Raw(c.Signed.Raw)
	}
	w.EndArray().Key("created_at").Time(g.CreatedAt).Key("name").String(g.Name).
		Key("quorum").Object().Key("members").Int(uint64(g.Quorum.Members)).
		Key("neutral_roles").Int(uint64(g.Quorum.NeutralRoles)).Key("require").Array()
	for _, r := range g.Quorum.Require {
		w.Object().Key("count").Int(uint64(r.Count)).Key("role").String(string(r.Role)).EndObject()
	}
	w.EndArray().EndObject().Key("v").Int(Version).EndObject()
	if _, err := ParseGenesis(w.Bytes()); err != nil {
		return nil, err
	}
	return w.Bytes(), nil
}

// ChainID returns the id of the chain that begins with this genesis: its name,
// a dash and the first 8 hex digits of the SM3 of its bytes.
func (g *Genesis) ChainID() string {
	return checkpoint.ChainID(g.Name, merkle.Sum(g.Raw))
}
