package node

import (
	"time"

	"qifeng/genesis"
)

// devChain is the name of every development network's chain.
const devChain = "dev"

// buildDevnet makes the homes, the genesis and the policies of a network.
// Order: the state file "creating", which gives every later run the right to
// clear the folder; the homes; the genesis; each home joins; and last the
// state file "ready".
func buildDevnet(dir string, state *devnetState) error {
	if err := state.save(dir); err != nil {
		return err
	}
	plan := genesis.Plan{Name: devChain, CreatedAt: time.Now()}
	for _, m := range state.Members {
		card, err := makeHome(m.home(dir), initSpec{ID: m.ID, Name: m.Name(), Role: m.Role,
			APIListen: m.API, APIURL: m.url(), PeerListen: m.Peer, PeerAddress: m.Peer})
		if err != nil {
			return err
		}
		plan.Cards = append(plan.Cards, card)
	}
	c, err := genesis.Build(plan)
	if err != nil {
		return err
	}
	if err := writeConsortium(dir, c); err != nil {
		return err
	}
	for _, m := range state.Members {
		if _, err := joinConsortium(m.home(dir), c.Genesis.Raw); err != nil {
			return err
		}
	}
	state.State, state.Chain = devnetReady, c.ChainID
	return state.save(dir)
}
