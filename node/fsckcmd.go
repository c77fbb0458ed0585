package node

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"qifeng/fsck"
)

func (a *app) fsckCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "核对停止的节点的全部数据 · Check all data of a stopped node",
		Long: `逐字节读取一个已停止节点的目录，用独立的代码重新计算：记录、声明签名、回执、批次根与批次头、
总账、登记、区块的 AppHash 与提交签名、检查点的全部会签，并核对密钥文件、防重签记录与各文件夹。
指出第一处错误的文件与位置、它意味着什么、该做什么。从不写入任何文件；节点在运行时拒绝执行。
退出码：0 完好；1 有错误；2 用法；3 未能核对（读取失败，或节点在运行）。
Reads the home of a stopped node byte for byte and recomputes with code of its own: records,
statements' signatures, receipts, roots and headers of batches, ledger, register, AppHash and
commits of the blocks, all seals of the checkpoints; checks key files, guard and folders. Names
the first thing that is wrong and where, what it means and what to do. Never writes; refuses
while the node runs. Exit codes: 0 good; 1 something is wrong; 2 usage; 3 could not be checked
(unreadable, or the node is running).`,
		Example: example("qifeng fsck --home ./court-a", "qifeng fsck --home ./court-a --json"),
		Args:    cobra.NoArgs,
		RunE:    a.run(func(ctx context.Context, _ []string) error { return a.fsck(ctx) }),
	}
	a.homeFlag(cmd)
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) fsck(ctx context.Context) error {
	cfg, err := a.home.config()
	if err != nil {
		return &codeError{code: exitUsage, err: err}
	}
	show := a.fsckProgress()
	r := fsck.Check(ctx, fsckHome(a.home, cfg), fsck.Options{Progress: show.step})
	show.end()
	if a.json {
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintln(a.out, string(b))
	} else {
		fmt.Fprint(a.out, r.Text(a.lang == Chinese))
	}
	return quietExit(r.ExitCode())
}

// fsckHome names the files of a home.
func fsckHome(h home, cfg *Config) fsck.Home {
	k := &cfg.Keys
	roots := ""
	if cfg.Anchors.Roots != "" {
		roots = h.path(cfg.Anchors.Roots)
	}
	wit, state := "", ""
	if cfg.Witness.Key != "" {
		wit = h.path(cfg.Witness.Key)
		state = witnessState(wit)
	}
	return fsck.Home{
		Dir: string(h), Self: cfg.Member.ID, Lock: h.path(lockName),
		Genesis: h.path(genesisName), Policy: h.path(policyName), Card: h.path(cardName), Data: h.path(cfg.Data.Dir), AnchorRoots: roots,
		Keys: fsck.Keys{
			Intake: h.path(k.Intake), SealSM2: h.path(k.SealSM2), SealEd25519: h.path(k.SealEd25519), Log: h.path(k.Log), Admin: h.path(k.Admin),
			Consensus: h.path(k.Consensus), Node: h.path(k.Node), Guard: h.path(k.Guard),
			Users: []string{h.path(submitKey), h.path(readKey)}, Witness: wit, WitnessState: state,
		},
	}
}

// fsckShow tells how far the check is: a bar on a terminal, else a line when a
// phase begins and then now and then.
type fsckShow struct {
	a     *app
	w     io.Writer
	bar   bool
	now   *progressbar.ProgressBar
	phase fsck.Phase
	told  time.Time
}

func (a *app) fsckProgress() *fsckShow {
	f, ok := a.errw.(*os.File)
	return &fsckShow{a: a, w: a.errw, bar: ok && term.IsTerminal(int(f.Fd()))}
}

func (s *fsckShow) step(p fsck.Phase, done, total int64) {
	fresh := p != s.phase
	if fresh {
		s.end()
		s.phase, s.told = p, time.Now()
	}
	name := map[fsck.Phase]string{
		fsck.PhaseHome: s.a.lang.T("创世、策略、密钥", "genesis, policy, keys"), fsck.PhaseLedger: s.a.lang.T("总账与区块", "ledger and blocks"),
		fsck.PhaseArchive: s.a.lang.T("存档", "archive"), fsck.PhaseRest: s.a.lang.T("其余", "the rest"),
	}[p]
	if s.bar {
		if fresh {
			s.now = progressbar.NewOptions64(max(total, 1), progressbar.OptionSetWriter(s.w), progressbar.OptionSetDescription(name),
				progressbar.OptionShowBytes(p == fsck.PhaseArchive), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
		}
		_ = s.now.Set64(min(done, max(total, 1))) // a bar that cannot be drawn stops nothing
		return
	}
	if fresh || time.Since(s.told) >= fsckEvery {
		s.told = time.Now()
		s.a.note("%s：%d / %d", "%s: %d of %d", name, done, total)
	}
}

func (s *fsckShow) end() {
	if s.now != nil {
		_ = s.now.Close()
		s.now = nil
	}
}
