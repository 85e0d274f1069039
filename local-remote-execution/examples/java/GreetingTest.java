package examples;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import org.junit.Test;
import org.junit.runner.RunWith;
import org.junit.runners.JUnit4;

/** With JUnit, which Bazel's test runner brings. */
@RunWith(JUnit4.class)
public final class GreetingTest {
  @Test
  public void runsOnTheJdkOfTheStore() {
    String home = System.getProperty("java.home");
    assertTrue("runs on the JDK in " + home, home.startsWith("/lre/store/"));
  }

  @Test
  public void greets() {
    assertEquals("Hello", Greeting.text().split(",")[0]);
  }
}
