package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// sampleContract is there when the network runs in the project's own folder:
// then the printed commands can be pasted as they are.
const sampleContract = "test/testdata/contract-zh.pdf"

func (a *app) devnetCmd() *cobra.Command {
	var dir string
	var port int
	cmd := &cobra.Command{
		Use:   "devnet",
		Short: "在本机运行四成员网络 · Run a network of four members on this machine",
		Long: `首次运行在目录中建立 court-a、notary-a、arbitration-a、vendor-a 四个成员，各有密钥、共识节点与接口，
各为独立进程；再次运行则继续。成员被杀会自动重启。Ctrl-C 停止全部。仅供开发，只监听 127.0.0.1。
The first run makes four members in the folder, each with its own keys, consensus node and API,
each its own process; a later run resumes. A member that dies is started again. Ctrl-C stops
all. For development: listens on 127.0.0.1 only.`,
		Example: example("qifeng devnet", "qifeng devnet --dir /tmp/net --port 0"),
		Args:    cobra.NoArgs,
		RunE:    a.run(func(ctx context.Context, _ []string) error { return a.devnet(ctx, dir, port) }),
	}
	cmd.PersistentFlags().StringVar(&dir, "dir", "./devnet", "网络目录 · folder of the network")
	cmd.Flags().IntVar(&port, "port", 8100, "首次运行的起始端口：接口 N+i，成员网络 N+10+i；0 自动选择 · first port, used by the first run only; 0 picks free ones")
	var yes bool
	reset := &cobra.Command{
		Use:     "reset",
		Short:   "删除开发网络 · Delete the development network",
		Example: example("qifeng devnet reset", "qifeng devnet reset --dir /tmp/net --yes"),
		Args:    cobra.NoArgs,
		RunE:    a.run(func(context.Context, []string) error { return a.devnetReset(dir, yes) }),
	}
	reset.Flags().BoolVar(&yes, "yes", false, "不询问 · do not ask")
	cmd.AddCommand(reset, a.devnetHomesCmd(&dir), a.devnetSubmitKeyCmd())
	return cmd
}

// devnet runs the network of dir until ctx is done.
func (a *app) devnet(ctx context.Context, dir string, port int) error {
	// Before even a lock is put into a folder that is not ours.
	if err := mayBeDevnet(dir, port); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer unlock()
	state, err := a.prepareDevnet(dir, port)
	if err != nil {
		return err
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding this program: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex // guards a.errw: members report at the same time
	s := &supervisor{exe: exe, members: state.Members, dir: dir, report: func(member, zh, en string) {
		mu.Lock()
		defer mu.Unlock()
		a.note("[%s] %s", "[%s] %s", member, a.lang.T(zh, en))
	}}
	done := make(chan struct{})
	go func() { defer close(done); s.run(ctx) }()
	if err := a.devnetReadyUp(ctx, dir, state); err != nil {
		cancel()
		<-done
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	}
	a.printDevnet(dir, state)
	<-done
	a.say("已全部停止", "all members have stopped")
	return nil
}

// prepareDevnet loads the network of dir, or makes it. A network whose making
// was cut short is made again from the start: nobody has used it yet.
func (a *app) prepareDevnet(dir string, port int) (*devnetState, error) {
	state, err := loadDevnet(dir)
	if err == nil && state.State == devnetReady {
		return state, nil
	}
	if err := mayBeDevnet(dir, port); err != nil {
		return nil, err
	}
	if err == nil {
		if err := state.clear(dir); err != nil {
			return nil, err
		}
	}
	if state, err = newDevnetState(port); err != nil {
		return nil, err
	}
	a.say("在 %s 建立四成员网络", "making a network of four members in %s", dir)
	if err := buildDevnet(dir, state); err != nil {
		return nil, fmt.Errorf("making the network: %w", err)
	}
	return state, nil
}

// mayBeDevnet refuses a folder that holds something else than a development
// network, and a port that a new one could not use.
func mayBeDevnet(dir string, port int) error {
	_, err := loadDevnet(dir)
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return &codeError{code: exitUsage, err: err}
	}
	empty, err := emptyDir(dir)
	if err != nil {
		return err
	}
	if !empty {
		return usagef("%s is not empty and holds no %s: name another folder with --dir", dir, devnetName)
	}
	if port != 0 {
		_, err = newDevnetState(port)
	}
	return err
}

// devnetReadyUp waits for every member and registers their user keys.
func (a *app) devnetReadyUp(ctx context.Context, dir string, state *devnetState) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for _, m := range state.Members {
		if err := waitReady(ctx, m.url()); err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				return fmt.Errorf("%s was not ready within %v; the end of its log:\n%s",
					m.ID, readyTimeout, tail(m.logPath(dir), logTail))
			}
			return err
		}
	}
	var mu sync.Mutex // guards errs
	var errs []error
	var wg sync.WaitGroup
	for _, m := range state.Members {
		wg.Go(func() {
			if err := ensureKeys(ctx, m.home(dir), m.url()); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("registering keys: %w", err))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// printDevnet prints what a newcomer needs next, ready to be pasted.
func (a *app) printDevnet(dir string, state *devnetState) {
	a.say("四成员网络已就绪，链 %s", "the network of four members is ready, chain %s", state.Chain)
	for _, m := range state.Members {
		fmt.Fprintf(a.out, "  %-14s %s  peer %s  log %s\n", m.ID, m.url(), m.Peer, m.logPath(dir))
	}
	a.say("接下来，在另一个终端：", "next, in another terminal:")
	if exists(sampleContract) {
		fmt.Fprintf(a.out, "  cp %s contract.pdf\n", sampleContract)
	}
	prog, vendor := shellQuote(os.Args[0]), shellQuote(filepath.Join(dir, state.Members[len(state.Members)-1].ID))
	fmt.Fprintf(a.out, "  %s submit contract.pdf --home %s --wait\n", prog, vendor)
	fmt.Fprintf(a.out, "  %s verify contract.pdf --policy %s\n", prog, shellQuote(filepath.Join(dir, policyName)))
	fmt.Fprintf(a.out, "  %s status --home %s\n", prog, vendor)
	a.say("Ctrl-C 停止；再次运行则继续；%[1]s devnet reset --dir %[2]s 删除",
		"Ctrl-C stops it; run it again to resume; %[1]s devnet reset --dir %[2]s deletes it", prog, shellQuote(dir))
}

// shellQuote makes s one word for a POSIX shell.
func shellQuote(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+="
	if s != "" && strings.Trim(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// devnetReset deletes the network of dir, and only that.
func (a *app) devnetReset(dir string, yes bool) error {
	if _, err := loadDevnet(dir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return usagef("%s holds no %s: it is no development network, nothing is deleted", dir, devnetName)
		}
		return &codeError{code: exitUsage, err: err}
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return err
	}
	defer unlock()
	state, err := loadDevnet(dir) // again, now that nobody else changes it
	if err != nil {
		return err
	}
	for _, m := range state.Members {
		h := m.home(dir)
		if !exists(string(h)) {
			continue
		}
		unlock, err := lockDir(string(h))
		if err != nil {
			return err
		}
		defer unlock()
	}
	if !yes {
		ok, err := a.confirm(fmt.Sprintf(a.lang.T("删除开发网络 %s 及其全部密钥与数据？输入 yes 确认：",
			"delete the development network %s with all its keys and data? Type yes: "), dir))
		if err != nil || !ok {
			return err
		}
	}
	if err := state.clear(dir); err != nil {
		return err
	}
	os.Remove(filepath.Join(dir, lockName))
	os.Remove(dir) // only if nothing else is in it
	a.say("已删除 %s 的开发网络", "deleted the development network in %s", dir)
	return nil
}

// confirm asks on a terminal. Without one nobody can answer, so it is wrong
// usage.
func (a *app) confirm(question string) (bool, error) {
	if f, ok := a.in.(*os.File); !ok || !term.IsTerminal(int(f.Fd())) {
		return false, usagef("nobody to ask: standard input is no terminal; use --yes")
	}
	fmt.Fprint(a.errw, question)
	line, err := bufio.NewReader(a.in).ReadString('\n')
	if err != nil {
		return false, err
	}
	if strings.TrimSpace(line) != "yes" {
		a.note("未删除", "nothing was deleted")
		return false, quietExit(exitFailed)
	}
	return true, nil
}

// waitReady polls a node until it says that it is ready.
func waitReady(ctx context.Context, url string) error {
	tick := time.NewTicker(2 * pollEvery)
	defer tick.Stop()
	for {
		if isReady(ctx, url) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
