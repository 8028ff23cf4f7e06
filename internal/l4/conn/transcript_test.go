package conn

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nuncio-proxy/nuncio/api/buffer"
	"github.com/nuncio-proxy/nuncio/api/network"
)

// TestTranscripts runs the scripts in testdata. A line is a command; the lines
// behind it that begin with ">" are what happens then.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	eachPoller(t, func(t *testing.T, portable bool) {
		for _, file := range files {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				s := &script{rig: newRig(t, portable, 16), filters: map[string]*scripted{}}
				s.run(file, strings.Split(string(text), "\n"))
			})
		}
	})
}

type script struct {
	*rig
	filters map[string]*scripted
}

func (s *script) run(file string, lines []string) {
	for i := 0; i < len(lines); {
		line := lines[i]
		i++
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		at, want := i, ""
		for i < len(lines) && strings.HasPrefix(lines[i], ">") {
			want += strings.TrimPrefix(lines[i], "> ") + "\n"
			i++
		}
		s.log = nil
		s.command(strings.Fields(line))
		got := func() string { return strings.TrimPrefix(strings.Join(append(s.log, ""), "\n"), "") }
		for deadline := time.Now().Add(2 * time.Second); got() != want && len(got()) < len(want) && time.Now().Before(deadline); {
			s.loop.Turn()
			s.readPeer(want)
		}
		for range 3 { // nothing more happens
			s.loop.Turn()
		}
		if got() != want {
			s.t.Fatalf("%s:%d: %s: got\n%swant\n%s", file, at, line, got(), want)
		}
	}
}

// readPeer logs what the peer receives, if the script wants it to.
func (s *script) readPeer(want string) {
	if !strings.Contains(want, "peer ") {
		return
	}
	buf := make([]byte, 100)
	s.peer.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	n, err := s.peer.Read(buf)
	if n > 0 {
		s.logf("peer gets %s", buf[:n])
	}
	if errors.Is(err, io.EOF) {
		s.logf("peer sees the end")
	}
}

func (s *script) command(words []string) {
	rest := strings.Join(words[1:], " ")
	switch words[0] {
	case "filter":
		s.addFilter(words[1], words[2:])
	case "transport":
		s.conn.SetTransport(&shouter{rig: s.rig}, 0, nil)
	case "start":
		s.conn.Start()
	case "peer":
		io.WriteString(s.peer, rest)
	case "peer-end":
		s.peer.CloseWrite()
	case "write":
		s.rig.write(rest, false)
	case "write-end":
		s.rig.write(rest, true)
	case "set": // a status: filter.method status
		name, method, _ := strings.Cut(words[1], ".")
		s.filters[name].answers[method] = words[2]
	case "continue":
		s.filters[words[1]].read.ContinueReading()
	case "inject-read", "inject-write":
		var b buffer.Buffer
		b.Init(s.loop.Buffers())
		b.AppendString(strings.Join(words[2:], " "))
		if f := s.filters[words[1]]; words[0] == "inject-read" {
			f.read.InjectRead(&b, false)
		} else {
			f.write.InjectWrite(&b, false)
		}
		b.Drain(b.Len())
	case "disable":
		s.conn.ReadDisable(true)
	case "enable":
		s.conn.ReadDisable(false)
	case "half-close":
		s.conn.EnableHalfClose(true)
	case "delay":
		s.conn.SetDelayedCloseTimeout(time.Second)
	case "advance":
		d, err := time.ParseDuration(rest)
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(d)
	case "close", "write-and-close":
		if words[0] == "write-and-close" { // in the same turn
			s.rig.write("lost", false)
		}
		types := map[string]network.CloseType{"NoFlush": network.NoFlush, "FlushWrite": network.FlushWrite,
			"FlushWriteAndDelay": network.FlushWriteAndDelay}
		s.conn.Close(types[words[1]], strings.Join(words[2:], " "))
	case "failure":
		s.logf("%s", s.conn.TransportFailure())
	case "reason":
		s.logf("%s", s.conn.Info().LocalCloseReason)
	default:
		s.t.Fatalf("unknown command %s", words[0])
	}
}

// addFilter adds a filter; its methods answer continue, stop, take (and stop) or
// close.
func (s *script) addFilter(name string, answers []string) {
	f := &scripted{script: s, name: name, answers: map[string]string{}}
	for _, a := range answers {
		method, answer, _ := strings.Cut(a, "=")
		f.answers[method] = answer
	}
	s.filters[name] = f
	s.conn.AddFilter(f)
}

type scripted struct {
	script  *script
	name    string
	answers map[string]string
	read    network.ReadCallbacks
	write   network.WriteCallbacks
}

func (f *scripted) InitializeRead(cb network.ReadCallbacks)   { f.read = cb }
func (f *scripted) InitializeWrite(cb network.WriteCallbacks) { f.write = cb }

func (f *scripted) OnNewConnection() network.FilterStatus { return f.answer("new", nil, false) }

func (f *scripted) OnData(data *buffer.Buffer, end bool) network.FilterStatus {
	return f.answer("data", data, end)
}

func (f *scripted) OnWrite(data *buffer.Buffer, end bool) network.FilterStatus {
	return f.answer("write", data, end)
}

func (f *scripted) answer(method string, data *buffer.Buffer, end bool) network.FilterStatus {
	line := f.name + "." + method
	if data != nil {
		line += fmt.Sprintf(" %q", data)
	}
	if end {
		line += " end"
	}
	f.script.logf("%s", line)
	switch f.answers[method] {
	case "stop":
		return network.StopIteration
	case "take":
		data.Drain(data.Len())
		return network.StopIteration
	case "close":
		f.read.Connection().Close(network.NoFlush, "filter")
	case "continue-now":
		f.read.ContinueReading()
		return network.StopIteration
	}
	return network.Continue
}
