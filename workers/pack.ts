/** The `pack` step, in a process of its own. */
import { runStage } from './run-stage.js';

export default runStage('pack');
