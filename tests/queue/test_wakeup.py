import threading

from perflab.queue.wakeup import Wakeup


def test_a_wait_ends_when_another_thread_sets_it() -> None:
    wakeup = Wakeup()
    thread = threading.Thread(target=wakeup.set)
    thread.start()
    wakeup.wait(60)
    thread.join()


def test_many_sets_end_one_wait() -> None:
    wakeup = Wakeup()
    for _ in range(1_000):
        wakeup.set()
    wakeup.wait(60)
    assert wakeup._tokens.empty()
    wakeup.wait(0)
    wakeup.wait(-1)
