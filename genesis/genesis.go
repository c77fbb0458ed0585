// Package genesis is the ceremony by which organisations become a consortium:
// signed member cards go in, the genesis that begins the chain and the trust
// policies that judge it come out, with a plain account of who can stop it.
// It also lays out development networks.
//
// It is not where the rules are: the form of cards and genesis is package
// evidence, the soundness of a seal quorum is package checkpoint, how a policy
// follows from a genesis is package proof. It keeps no keys and does no I/O.
//
// Invariants:
//
//   - The same cards, name, quorum and time give the same bytes, whatever the
//     order of the cards: every member can build the genesis by itself and
//     compare the chain id.
//   - A genesis whose quorum vendors alone, or two disjoint sets of members,
//     could meet is never built and never accepted.
//   - No two members share an id, a key or an address.
//
// Who may lie to it: whoever made a card. Its signature proves only that one
// holder of the admin key made it; that the card belongs to the organisation
// it names, the members check with each other, by comparing its fingerprint.
package genesis

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"qifeng/evidence"
	"qifeng/proof"
	"qifeng/proof/checkpoint"
)

// ErrRefused is the kind of every refusal: the cards or the rule are wrong,
// and another attempt with the same ones cannot help.
var ErrRefused = errors.New("genesis refused")

// A Plan is what the members have agreed on. A zero Quorum asks for
// checkpoint.DefaultQuorum.
type Plan struct {
	Name      string // of the chain: a-z, 0-9 and dash
	Cards     [][]byte
	Quorum    checkpoint.Quorum
	CreatedAt time.Time
}

// A Consortium is a genesis with what follows from it.
type Consortium struct {
	Genesis   *evidence.Genesis
	ChainID   string
	Policy    *checkpoint.Policy
	Text      []byte            // the policy's text form
	Stock     map[string][]byte // stock C2SP policies, by file name: approximations
	Tolerance checkpoint.Tolerance
}

// Build makes the consortium of a plan.
func Build(p Plan) (*Consortium, error) {
	cards, err := readCards(p.Cards)
	if err != nil {
		return nil, err
	}
	q := p.Quorum
	if q.Members == 0 {
		q.Members = checkpoint.DefaultQuorum(len(cards)).Members
	}
	if q.NeutralRoles == 0 {
		q.NeutralRoles = checkpoint.DefaultNeutralRoles
	}
	q.Require = slices.Clone(q.Require)
	slices.SortFunc(q.Require, func(a, b checkpoint.Require) int { return cmp.Compare(a.Role, b.Role) })
	g := &evidence.Genesis{Cards: cards, CreatedAt: p.CreatedAt.UTC().Truncate(time.Millisecond), Name: p.Name, Quorum: q}
	raw, err := g.Marshal()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return Read(raw)
}

// readCards checks each card's signature and what only cards side by side can
// show.
func readCards(raws [][]byte) ([]*evidence.Card, error) {
	if len(raws) == 0 || len(raws) > checkpoint.MaxMembers {
		return nil, fmt.Errorf("%w: %d member cards, want 1 to %d", ErrRefused, len(raws), checkpoint.MaxMembers)
	}
	cards := make([]*evidence.Card, len(raws))
	for i, raw := range raws {
		c, err := evidence.ParseCard(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: card %d: %w", ErrRefused, i+1, err)
		}
		cards[i] = c
	}
	slices.SortFunc(cards, func(a, b *evidence.Card) int { return cmp.Compare(a.ID, b.ID) })
	return cards, checkDistinct(cards)
}

// checkDistinct names the two members that share something. The form of the
// genesis refuses most of it too, but by index and not in a founder's words.
func checkDistinct(cards []*evidence.Card) error {
	owner := map[string]string{}
	for i, c := range cards {
		if i > 0 && cards[i-1].ID == c.ID {
			return fmt.Errorf("%w: two cards have the id %s: ids are unique, agree on another one", ErrRefused, c.ID)
		}
		for _, f := range []struct{ what, value string }{
			{"admin key", c.Admin.String()}, {"consensus key", c.Consensus.String()}, {"intake key", c.Intake.String()},
			{"log key", c.Log.String()}, {"Ed25519 seal key", c.SealEd25519.String()}, {"SM2 seal key", c.SealSM2.String()},
			{"node id", c.NodeID}, {"peer address", c.Peer}, {"API address", c.API},
		} {
			if f.value == "" {
				continue
			}
			if other, taken := owner[f.value]; taken {
				return fmt.Errorf("%w: the %s of %s belongs to %s already: every key and address is one member's and has one purpose",
					ErrRefused, f.what, c.ID, other)
			}
			owner[f.value] = c.ID
		}
	}
	return nil
}

// Read takes canonical genesis bytes and derives the rest.
func Read(raw []byte) (*Consortium, error) {
	g, err := evidence.ParseGenesis(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err := checkDistinct(g.Cards); err != nil {
		return nil, err
	}
	policy, err := proof.GenesisPolicy(g)
	if err != nil {
		return nil, fmt.Errorf("deriving the trust policy: %w", err)
	}
	text, err := policy.Marshal()
	if err != nil {
		return nil, fmt.Errorf("writing the trust policy: %w", err)
	}
	stock, err := checkpoint.StockPolicies(policy)
	if err != nil {
		return nil, fmt.Errorf("writing the stock policies: %w", err)
	}
	return &Consortium{
		Genesis: g, ChainID: policy.Chain, Policy: policy, Text: text, Stock: stock,
		Tolerance: g.Quorum.Tolerance(g.Members()),
	}, nil
}

// ConsensusTolerance is how many members may fail, whichever they are, while
// the chain still makes blocks: BFT consensus needs more than 2/3 of the votes,
// and every member has one.
func (c *Consortium) ConsensusTolerance() int { return (len(c.Genesis.Cards) - 1) / 3 }

// Peers lists the other members' nodes as nodeid@host:port.
func (c *Consortium) Peers(self string) []string {
	var out []string
	for _, card := range c.Genesis.Cards {
		if card.ID != self {
			out = append(out, card.NodeID+"@"+card.Peer)
		}
	}
	return out
}
