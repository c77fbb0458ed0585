package node

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"qifeng/api/client"
	"qifeng/api/wire"
)

func (a *app) statusCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "节点、链与会签的状态 · State of node, chain and seals",
		Long: `打印链、总账、最新会签、各成员最近的会签、会签门槛、排队情况与锚定。未就绪时退出码 3，并说明缺什么。
Prints chain, ledger, newest sealed checkpoint, each member's newest seal, the quorum, the
queue and the anchors. Exit code 3 when the node is not ready, with what is missing.`,
		Example: example("qifeng status --home devnet/vendor-a", "qifeng status --api http://127.0.0.1:8100 --json"),
		Args:    cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			ctx, cancel := context.WithTimeout(ctx, a.timeout)
			defer cancel()
			c, err := a.clientWith(client.Options{Attempts: 1}) // "not there" is an answer too
			if err != nil {
				return err
			}
			st, err := c.Status(ctx)
			if err != nil {
				return err
			}
			if a.json {
				err = a.printJSON(st)
			} else {
				a.printStatus(st)
			}
			if err == nil && !st.Ready {
				return quietExit(exitNotProved)
			}
			return err
		}),
	}
	a.homeFlag(cmd)
	a.apiFlag(cmd)
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) printStatus(st *wire.Status) {
	now := statusTime(st)
	ready := a.lang.T("就绪", "ready")
	if !st.Ready {
		ready = a.lang.T("未就绪", "NOT READY")
	}
	a.say("%s  节点 %s  链 %s  版本 %s", "%s  node %s  chain %s  version %s", ready, st.Node, st.Chain, st.Version)
	for _, r := range st.Reasons {
		fmt.Fprintf(a.out, "  ! %s: %s\n", r.Code, r.Detail)
	}
	a.printLedger(now, &st.Ledger)
	a.printIntake(&st.Intake)
	a.say("成员", "members")
	for _, m := range st.Members {
		link := a.lang.T("断开", "away")
		switch {
		case m.Self:
			link = a.lang.T("本节点", "self")
		case m.Connected:
			link = a.lang.T("已连接", "connected")
		}
		fmt.Fprintf(a.out, "  %-16s %-12s %s  %s%s\n", m.ID, m.Role, link,
			fmt.Sprintf(a.lang.T("会签至 %d，%s", "sealed %d, %s"), m.SealSize, a.age(now, m.SealTime)), a.clock(&m))
	}
	if len(st.Anchors) > 0 {
		a.printAnchorStatus(now, st.Anchors)
	}
}

func (a *app) printLedger(now time.Time, l *wire.LedgerStatus) {
	a.say("总账   高度 %d，条目 %d，待入块 %d", "ledger   height %d, entries %d, waiting for a block %d", l.Height, l.Size, l.Pool)
	if l.CatchingUp {
		a.say("       正在追赶其他成员", "         catching up with the others")
	}
	a.say("会签   最新大小 %d，%s；门槛 %s", "sealed   newest size %d, %s; quorum %s", l.SealedSize, a.age(now, l.SealedTime), l.Quorum)
	if l.Missing != "" {
		a.say("       缺：%s", "         missing: %s", l.Missing)
	}
	if !l.GuardOK {
		a.say("       本节点不会签（%s）：%s", "         this member gives no seal (%s): %s", l.GuardCode, l.Guard)
	}
	a.printAlarms(l.Alarms)
}

func (a *app) printIntake(in *wire.IntakeStatus) {
	a.say("受理   开放批次 %d（%d 条），排队 %d 批 %d 条，已上链至批次 %d",
		"intake   open batch %d (%d records), queued %d batches with %d records, on the chain up to batch %d",
		in.OpenSeq, in.Open, in.Batches, in.Queued, in.Committed)
	if !in.Accepting {
		a.say("       拒收：%s", "         refusing: %s", in.Reason)
	}
	if in.Lost != nil {
		a.printLost(in.Lost)
	}
	if in.SendError != "" {
		a.say("       最近一次发送：%s", "         last sending: %s", in.SendError)
	}
	a.printAlarms(in.Alarms)
}

// printLost names what a restored node does not have any more.
func (a *app) printLost(l *wire.Lost) {
	a.say("丢失   本节点恢复自备份：批次 %d 至 %d 之间的 %d 个批次（%d 条记录）须由镜像应答", "lost     restored from a backup: between %d and %d there are %d batches with %d records that a mirror must answer",
		l.First, l.Last, l.Batches, l.Records)
	for _, b := range l.Newest[max(0, len(l.Newest)-lostPrinted):] {
		a.say("       批次 %d，总账 %d：合同 %d，身份 %d，签署 %d", "         batch %d, ledger entry %d: contract %d, identity %d, signing %d",
			b.Seq, b.Index, b.Streams["contract"], b.Streams["identity"], b.Streams["signing"])
	}
	if n := l.Batches - lostPrinted; n > 0 {
		a.say("       另有更早的 %d 个，见 data/archive/lost/list", "         and %d earlier ones, see data/archive/lost/list", n)
	}
}

func (a *app) printAlarms(alarms []string) {
	for _, text := range alarms {
		a.say("       警报：%s", "         ALARM: %s", text)
	}
}

// clock says how far a member's clock is off, to the second that seals tell.
func (a *app) clock(m *wire.MemberStatus) string {
	switch {
	case m.Self:
		return ""
	case m.ClockOffset == nil:
		return a.lang.T("，时钟未知", ", clock unknown")
	default:
		return fmt.Sprintf(a.lang.T("，时钟 %+d 秒", ", clock %+d s"), *m.ClockOffset)
	}
}

// age says how long ago a stated time was; none is never.
func (a *app) age(now time.Time, stated string) string {
	t, err := time.Parse(time.RFC3339, stated)
	if err != nil {
		return a.lang.T("从未", "never")
	}
	return fmt.Sprintf(a.lang.T("%v 前", "%v ago"), max(0, now.Sub(t).Truncate(time.Second)))
}
