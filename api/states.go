package api

import (
	"encoding/json"
	"fmt"

	"qifeng/api/wire"
	"qifeng/archive"
)

// batchName names a batch of one node; all records of a batch share a state.
type batchName struct {
	node string
	seq  uint64
}

// states finds how far each of stored has come, with one look per batch.
func (s *Server) states(stored []archive.Stored) ([]wire.State, error) {
	known := make(map[batchName]wire.State)
	out := make([]wire.State, len(stored))
	for i := range stored {
		name := batchName{stored[i].Node, stored[i].Seq}
		state, ok := known[name]
		if !ok {
			var err error
			if state, _, err = s.where(name); err != nil {
				return nil, err
			}
			known[name] = state
		}
		out[i] = state
	}
	return out, nil
}

// where finds the state of a batch and, from committed on, its ledger index.
func (s *Server) where(b batchName) (wire.State, uint64, error) {
	index, ok, err := s.cfg.Chain.Batch(b.node, b.seq)
	if err != nil {
		return "", 0, fmt.Errorf("finding batch %s/%d: %w", b.node, b.seq, err)
	}
	if !ok {
		return wire.Accepted, 0, nil
	}
	// The newest sealed size says whether any checkpoint covers the batch, without
	// making one: every waiting request asks at every change.
	if size, _ := s.cfg.Chain.SealedHead(); size <= index {
		return wire.Committed, index, nil
	}
	if s.cfg.Anchors.Head() <= index {
		return wire.Sealed, index, nil
	}
	return wire.Anchored, index, nil
}

// describe makes the wire form of stored, whose states are known.
func (s *Server) describe(stored []archive.Stored, states []wire.State) ([]wire.Record, error) {
	out := make([]wire.Record, len(stored))
	for i := range stored {
		st := &stored[i]
		file, err := receiptFile(s.cfg.Chain.ChainID(), st).Compact()
		if err != nil {
			return nil, fmt.Errorf("writing the receipt of %s: %w", st.ID, err)
		}
		out[i] = wire.Record{ID: string(st.ID), State: states[i], Node: st.Node, Seq: st.Seq, File: json.RawMessage(file)}
	}
	return out, nil
}

// leastOf is the least far of states; none at all counts as anchored, since there
// is nothing left to wait for.
func leastOf(states []wire.State) wire.State {
	least := wire.Anchored
	for _, st := range states {
		if least.Reached(st) {
			least = st
		}
	}
	return least
}

// least is the least far state of records.
func least(records []wire.Record) wire.State {
	states := make([]wire.State, len(records))
	for i := range records {
		states[i] = records[i].State
	}
	return leastOf(states)
}
