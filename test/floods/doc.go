// Package floods tests that no door of a node can be used to stop its main job:
// each is flooded while records are submitted and sealed, by real processes on
// this machine's loopback, and the rate of the main job is held against its rate
// without the flood, memory and logs against what they may be, and at the end
// everything that was acknowledged is sealed.
//
// The floods are bounded in count and time. They show that bounds hold, not what
// a node can bear: generator, nodes and submitter share one machine.
package floods
