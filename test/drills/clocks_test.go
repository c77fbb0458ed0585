package drills

import (
	"fmt"
	"testing"
	"time"
)

// TestSkewedProcess runs a member whose whole process has a wrong clock, by
// seconds and by minutes, both ways: it must not disturb the others, they show
// how far its clock is off, and its status says what it does about it.
func TestSkewedProcess(t *testing.T) {
	asked(t)
	n := newNetwork(t, skewed, "QIFENG_DRILL_SKEW=-3600") // so that no clock below is before the genesis
	n.proved("all clocks right")
	for _, c := range []struct {
		skew  time.Duration
		seals bool   // the others count it as sealing
		code  string // why it gives no seal at times
	}{
		{3 * time.Second, true, ""},
		{-3 * time.Second, true, ""},
		{-90 * time.Second, false, "clock-behind"},
		{90 * time.Second, false, ""},
	} {
		t.Run(c.skew.String(), func(t *testing.T) {
			n.t = t
			n.stop(victim)
			n.start(victim, skewed, fmt.Sprintf("QIFENG_DRILL_SKEW=%d", int(c.skew/time.Second)))
			n.eventually(60*time.Second, "it follows the chain", func() error {
				st, err := n.status(victim)
				if err == nil && st.Ledger.CatchingUp {
					err = fmt.Errorf("catching up")
				}
				if err == nil {
					at, _ := time.Parse(time.RFC3339, st.Time)
					if off := time.Until(at) - c.skew; off.Abs() > 2*time.Second {
						t.Fatalf("its clock is %s off, it should be %s", time.Until(at), c.skew)
					}
				}
				return err
			})
			if c.code != "" {
				n.refuses(victim, c.code)
			}
			n.proved("with a clock off by " + c.skew.String())
			n.eventually(60*time.Second, "the others tell its clock", func() error {
				for _, m := range members {
					if m == victim {
						continue
					}
					st, err := n.status(m)
					if err != nil {
						return err
					}
					v := of(st, victim)
					if v.ClockOffset == nil {
						return fmt.Errorf("%s does not know", m)
					}
					if d := time.Duration(*v.ClockOffset)*time.Second - c.skew; d.Abs() > time.Second {
						return fmt.Errorf("%s says %d s", m, *v.ClockOffset)
					}
				}
				return nil
			})
			// It tells the others' clocks from its own point of view.
			n.eventually(60*time.Second, "it tells the others' clocks", func() error {
				st, err := n.status(victim)
				if err != nil {
					return err
				}
				for _, m := range st.Members {
					if m.Self {
						continue
					}
					if m.ClockOffset == nil {
						return fmt.Errorf("not that of %s", m.ID)
					}
					if d := time.Duration(*m.ClockOffset)*time.Second + c.skew; d.Abs() > time.Second {
						return fmt.Errorf("%s by %d s", m.ID, *m.ClockOffset)
					}
				}
				return nil
			})
			if c.seals {
				n.seals(victim)
			}
			if c.code != "" {
				n.eventually(60*time.Second, "it no longer counts as sealing", func() error {
					st, err := n.status(steady)
					if err == nil && of(st, victim).Fresh {
						err = fmt.Errorf("its newest seal is of %s", of(st, victim).SealTime)
					}
					return err
				})
				n.refuses(victim, c.code)
			}
			own, err := n.status(victim)
			if err != nil {
				t.Fatal(err)
			}
			st, err := n.status(steady)
			if err != nil {
				t.Fatal(err)
			}
			shown := "unknown"
			if v := of(st, victim).ClockOffset; v != nil {
				shown = fmt.Sprintf("%+d s", *v)
			}
			t.Logf("clock %s: the others show %s; guard %q; height %d of %d; counts as sealing: %v",
				c.skew, shown, own.Ledger.GuardCode, own.Ledger.Height, st.Ledger.Height, of(st, victim).Fresh)
		})
	}
	n.t = t
	n.stop(victim)
	n.start(victim, plain)
	n.eventually(3*time.Minute, "its clock is right again and it seals", func() error {
		st, err := n.status(steady)
		if err == nil && (!of(st, victim).Fresh || of(st, victim).SealSize < st.Ledger.SealedSize) {
			err = fmt.Errorf("its newest seal is of %s", of(st, victim).SealTime)
		}
		return err
	})
	n.proved("all clocks right again")
	n.noAlarms()
}
